"""TNT in plain PyTorch, written from the paper and the specification as a peer for benchmarks."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qk = nn.Linear(width, 2 * width, bias=False)
        self.v = nn.Linear(width, width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, length, c = x.shape
        q, k = self.qk(x).view(n, length, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        v = self.v(x).view(n, length, self.heads, c // self.heads).permute(0, 2, 1, 3)
        attention = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(n, length, c))


class Mlp(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class Block(nn.Module):
    def __init__(self, width, inner_width, heads, inner_heads, words):
        super().__init__()
        self.inner_norm1, self.inner_norm2 = nn.LayerNorm(inner_width), nn.LayerNorm(inner_width)
        self.inner_attn, self.inner_mlp = Attention(inner_width, inner_heads), Mlp(inner_width)
        self.proj_norm1, self.proj_norm2 = nn.LayerNorm(words * inner_width), nn.LayerNorm(width)
        self.proj = nn.Linear(words * inner_width, width, bias=False)
        self.outer_norm1, self.outer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.outer_attn, self.outer_mlp = Attention(width, heads), Mlp(width)

    def forward(self, inner, outer):
        inner = inner + self.inner_attn(self.inner_norm1(inner))
        inner = inner + self.inner_mlp(self.inner_norm2(inner))
        n, tokens, _ = outer.shape
        folded = self.proj_norm2(self.proj(self.proj_norm1(inner.reshape(n, tokens - 1, -1))))
        outer = torch.cat([outer[:, :1], outer[:, 1:] + folded], 1)
        outer = outer + self.outer_attn(self.outer_norm1(outer))
        return inner, outer + self.outer_mlp(self.outer_norm2(outer))


class Tnt(nn.Module):
    def __init__(self, width, inner_width, depth, heads, inner_heads, size=224, patch=16, stride=4, classes=1000):
        super().__init__()
        self.patch, words, patches = patch, (patch // stride) ** 2, (size // patch) ** 2
        self.embed = nn.Conv2d(3, inner_width, 7, stride, 3)
        self.inner_pos = nn.Parameter(torch.randn(1, words, inner_width) * 0.02)
        self.proj_norm1, self.proj_norm2 = nn.LayerNorm(words * inner_width), nn.LayerNorm(width)
        self.proj = nn.Linear(words * inner_width, width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.outer_pos = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, inner_width, heads, inner_heads, words) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        n = x.shape[0]
        patches = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2).reshape(-1, 3, self.patch, self.patch)
        inner = self.embed(patches).flatten(2).transpose(1, 2) + self.inner_pos
        outer = self.proj_norm2(self.proj(self.proj_norm1(inner.reshape(n, -1, self.proj.in_features))))
        outer = torch.cat([self.cls_token.expand(n, -1, -1), outer], 1) + self.outer_pos
        for block in self.blocks:
            inner, outer = block(inner, outer)
        return self.head(self.norm(outer)[:, 0])
