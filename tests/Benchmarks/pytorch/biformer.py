"""BiFormer in plain PyTorch, written from the paper and the specification as a peer for benchmarks."""
import torch
import torch.nn as nn


class RoutedAttention(nn.Module):
    """Bi-level routing attention on [N, H, W, C]; gathers keys and values by an expanded index, as the published code does."""

    def __init__(self, width, heads, windows, top_k):
        super().__init__()
        self.heads, self.windows, self.top_k, self.scale = heads, windows, top_k, width ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.lepe = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.wo = nn.Linear(width, width)

    def forward(self, x):
        n, height, width, c = x.shape
        s, k, h = self.windows, self.top_k, self.heads
        rows, columns = height // s, width // s
        t = rows * columns

        def split(y):
            return y.view(n, s, rows, s, columns, -1).permute(0, 1, 3, 2, 4, 5).reshape(n, s * s, t, -1)

        q, kv = split(self.qkv(x)).split([c, 2 * c], dim=-1)
        value_map = kv[..., c:].reshape(n, s, s, rows, columns, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, height, width)
        lepe = self.lepe(value_map.contiguous()).permute(0, 2, 3, 1)
        with torch.no_grad():
            logits = (q.mean(2) * self.scale) @ kv[..., :c].mean(2).transpose(1, 2)
            index = logits.topk(k, dim=-1).indices
        gathered = torch.gather(kv.unsqueeze(1).expand(-1, s * s, -1, -1, -1), 2,
                                index.view(n, s * s, k, 1, 1).expand(-1, -1, -1, t, 2 * c))
        keys, values = gathered.split([c, c], dim=-1)

        def per_head(y):
            return y.reshape(n * s * s, -1, h, c // h).transpose(1, 2)

        attention = ((per_head(q) * self.scale) @ per_head(keys).transpose(-2, -1)).softmax(-1)
        out = (attention @ per_head(values)).transpose(1, 2).reshape(n, s, s, rows, columns, c)
        out = out.permute(0, 1, 3, 2, 4, 5).reshape(n, height, width, c)
        return self.wo(out + lepe)


class FullAttention(nn.Module):
    def __init__(self, width, heads=8):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.lepe = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, height, width, c = x.shape
        lepe = self.lepe(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        q, k, v = self.qkv(x).view(n, height * width, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attention = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, height, width, c) + lepe)


class Block(nn.Module):
    def __init__(self, width, attention, ratio=3):
        super().__init__()
        self.pos_embed = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = attention
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x):
        x = x + self.pos_embed(x)
        x = x.permute(0, 2, 3, 1)
        x = x + self.attn(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class BiFormer(nn.Module):
    def __init__(self, depth, widths, heads, top_k, windows, classes, in_channels=3):
        super().__init__()
        first = widths[0]
        self.downsample_layers = nn.ModuleList([nn.Sequential(
            nn.Conv2d(in_channels, first // 2, 3, 2, 1), nn.BatchNorm2d(first // 2), nn.GELU(),
            nn.Conv2d(first // 2, first, 3, 2, 1), nn.BatchNorm2d(first))])
        for i in range(1, len(widths)):
            self.downsample_layers.append(nn.Sequential(nn.Conv2d(widths[i - 1], widths[i], 3, 2, 1), nn.BatchNorm2d(widths[i])))
        self.stages = nn.ModuleList(
            nn.Sequential(*[Block(w, RoutedAttention(w, h, windows, k) if k > 0 else FullAttention(w)) for _ in range(d)])
            for d, w, h, k in zip(depth, widths, heads, top_k))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x):
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return self.head(self.norm(x).mean((2, 3)))
