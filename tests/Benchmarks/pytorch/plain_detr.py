"""The time of Plain DETR (Swin-V2-S, BoxRPB, reparameterised boxes) on one picture in PyTorch: the peer of our detector.

Written after the paper (arXiv 2308.01904) with the eager operations that the published model runs: windows are cut, rolled and masked, and
the box-to-pixel bias of every layer is the whole [queries, positions] sum. Weights are random.

usage: plain_detr.py HEIGHT WIDTH [--device cpu|cuda] [--steps 50] [--precision fp32|tf32|fp16]
"""
import argparse
import contextlib
import math
import platform
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def relative_bias(mlp, height, width, pretrained, device):
    """16 sigmoid(MLP(log-spaced offsets)) of all pairs of positions: [heads, H W, H W]."""
    def axis(size):
        offsets = torch.arange(1 - size, size, dtype=torch.float32, device=device) / (pretrained - 1) * 8
        return torch.sign(offsets) * torch.log2(offsets.abs() + 1) / 3

    table = mlp(torch.stack(torch.meshgrid(axis(height), axis(width), indexing="ij"), dim=-1)).flatten(0, 1)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    down = (rows[:, None] - rows[None] + height - 1)[:, None, :, None]
    right = (columns[:, None] - columns[None] + width - 1)[None, :, None, :]
    index = (down * (2 * width - 1) + right).reshape(height * width, height * width)
    return 16 * torch.sigmoid(table[index]).permute(2, 0, 1)


class CosineAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))
        self.bias_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False))
        self.proj = nn.Linear(width, width)

    def forward(self, x, bias, mask=None):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q = q / (q.norm(dim=-1, keepdim=True) + 5e-5)
        k = k / (k.norm(dim=-1, keepdim=True) + 5e-5)
        scores = q @ k.transpose(-2, -1) * self.scale.clamp(max=math.log(100.0)).exp() + bias
        if mask is not None:
            scores = (scores.reshape(-1, len(mask), self.heads, length, length) + mask[:, None]).flatten(0, 1)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))


class SwinBlock(nn.Module):
    def __init__(self, width, heads, shift, is_global, pretrained, window=16):
        super().__init__()
        self.shift, self.is_global, self.pretrained, self.window = shift, is_global, pretrained, window
        self.attn = CosineAttention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend(self, x):
        batch, height, width, channels = x.shape
        if self.is_global:
            bias = relative_bias(self.attn.bias_mlp, height, width, self.pretrained, x.device)
            return self.attn(x.flatten(1, 2), bias).reshape(x.shape)
        size = self.window
        padded = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
        _, full_height, full_width, _ = padded.shape
        mask = None
        if self.shift:
            padded = padded.roll((-self.shift, -self.shift), (1, 2))
            regions = torch.zeros(full_height, full_width, device=x.device)
            for i, rows in enumerate((slice(0, -size), slice(-size, -self.shift), slice(-self.shift, None))):
                for j, columns in enumerate((slice(0, -size), slice(-size, -self.shift), slice(-self.shift, None))):
                    regions[rows, columns] = 3 * i + j
            regions = self.cut(regions[None, :, :, None]).squeeze(-1)
            mask = torch.where(regions[:, :, None] == regions[:, None], 0.0, -100.0).to(x.dtype)
        bias = relative_bias(self.attn.bias_mlp, size, size, self.pretrained, x.device)
        attended = self.attn(self.cut(padded), bias, mask)
        counts = (full_height // size, full_width // size)
        attended = attended.reshape(batch, *counts, size, size, channels).transpose(2, 3).reshape(padded.shape)
        if self.shift:
            attended = attended.roll((self.shift, self.shift), (1, 2))
        return attended[:, :height, :width]

    def cut(self, x):
        batch, height, width, channels = x.shape
        size = self.window
        x = x.reshape(batch, height // size, size, width // size, size, channels)
        return x.transpose(2, 3).reshape(-1, size * size, channels)

    def forward(self, x):
        x = x + self.norm1(self.attend(x))
        return x + self.norm2(self.mlp(x))


class Merging(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.reduction, self.norm = nn.Linear(4 * width, 2 * width, bias=False), nn.LayerNorm(2 * width, 1e-6)

    def forward(self, x):
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        parts = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
        return self.norm(self.reduction(torch.cat(parts, -1)))


class SwinV2Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.patch_norm = nn.Conv2d(3, 96, 4, 4), nn.LayerNorm(96, 1e-6)
        layers = []
        for stage, (depth, heads, pretrained) in enumerate(zip((2, 2, 18, 2), (3, 6, 12, 24), (12, 12, 12, 6))):
            width = 96 << stage
            layers += [SwinBlock(width, heads, 8 * (i % 2), stage == 3, pretrained) for i in range(depth)]
            if stage < 3:
                layers.append(Merging(width))
        self.layers, self.norm = nn.Sequential(*layers), nn.LayerNorm(768, 1e-6)

    def forward(self, image):
        image = F.pad(image, (0, -image.shape[3] % 4, 0, -image.shape[2] % 4))
        x = self.patch_norm(self.patch(image).permute(0, 2, 3, 1))
        return self.norm(self.layers(x)).permute(0, 3, 1, 2)


def mlp(*widths):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [nn.Linear(a, b)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
    return nn.Sequential(*layers)


class CrossAttention(nn.Module):
    def __init__(self, width=256, heads=8, hidden=512):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.across = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))
        self.down = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, heads, bias=False))

    def forward(self, query, boxes, keys, values, height, width, stride=16):
        batch, count, channels = query.shape
        first, last = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
        x = (torch.arange(width, device=query.device) + 0.5) * stride
        y = (torch.arange(height, device=query.device) + 0.5) * stride
        dtype = query.dtype
        columns = self.across((torch.stack((first[..., 0], last[..., 0]), -1)[:, :, None] - x[:, None]).to(dtype))
        rows = self.down((torch.stack((first[..., 1], last[..., 1]), -1)[:, :, None] - y[:, None]).to(dtype))
        bias = (rows[:, :, :, None] + columns[:, :, None]).flatten(2, 3).permute(0, 3, 1, 2)

        def split(z):
            return z.reshape(batch, -1, self.heads, channels // self.heads).transpose(1, 2)

        q, k, v = split(self.q(query)), split(self.k(keys)), split(self.v(values))
        scores = (q * (channels // self.heads) ** -0.5) @ k.transpose(-2, -1) + bias
        limit = torch.finfo(scores.dtype)
        scores = scores.clip(limit.min, limit.max)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, channels))


class DecoderLayer(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.self_attn, self.cross_attn = nn.MultiheadAttention(width, 8, batch_first=True), CrossAttention(width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = mlp(width, 2048, width)

    def forward(self, t, position, boxes, keys, values, height, width):
        a = self.norm2(t)
        t = t + self.self_attn(a + position, a + position, a, need_weights=False)[0]
        t = t + self.cross_attn(self.norm1(t) + position, boxes, keys, values, height, width)
        return t + self.mlp(self.norm3(t))


def sines(phases, count):
    """Sines and cosines in turn: adds an axis."""
    periods = 10000 ** (2 * torch.arange(count // 2, device=phases.device) / count)
    angles = phases[..., None] * 2 * math.pi / periods
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)


class PlainDetr(nn.Module):
    def __init__(self, queries=300, classes=91, layers=6, width=256):
        super().__init__()
        self.queries, self.width = queries, width
        self.backbone, self.upsample = SwinV2Small(), nn.ConvTranspose2d(768, 384, 2, 2)
        self.input_proj, self.input_norm = nn.Conv2d(384, width, 1), nn.GroupNorm(32, width)
        self.finer, self.coarser = nn.ConvTranspose2d(width, width, 2, 2), nn.Conv2d(width, width, 2, 2)
        self.coarse1, self.coarse_norm, self.coarse2 = nn.Conv2d(width, width, 2, 2), nn.LayerNorm(width), nn.Conv2d(width, width, 2, 2)
        self.enc_output, self.enc_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.pos_trans, self.pos_norm = nn.Linear(2 * width, 2 * width), nn.LayerNorm(2 * width)
        self.level, self.content = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(queries, width))
        self.layers, self.norm = nn.ModuleList(DecoderLayer(width) for _ in range(layers)), nn.LayerNorm(width)
        self.classifiers = nn.ModuleList(nn.Linear(width, classes) for _ in range(layers + 1))
        self.boxes = nn.ModuleList(mlp(width, width, width, 4) for _ in range(layers + 1))

    def forward(self, image):
        src = self.input_norm(self.input_proj(self.upsample(self.backbone(image))))
        batch, _, height, width = src.shape
        y = torch.arange(height, device=src.device)[:, None].expand(height, width) + 0.5
        x = torch.arange(width, device=src.device)[None].expand(height, width) + 0.5
        position = torch.cat((sines(y, self.width // 2), sines(x, self.width // 2)), -1).flatten(0, 1).to(src.dtype) + self.level
        values = src.flatten(2).transpose(1, 2)
        keys = values + position

        coarse = F.gelu(self.coarse_norm(self.coarse1(src).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        levels = [self.finer(src), src, self.coarser(src), self.coarse2(coarse)]
        limits = torch.tensor([width * 16.0, height * 16.0], device=src.device).repeat(2)
        candidates, tokens = [], []
        for i, level in enumerate(levels):
            stride, side = 8 << i, 50.0 * (1 << i)
            v = ((torch.arange(level.shape[2], device=src.device) + 0.5) * stride)[:, None].expand(*level.shape[2:])
            u = ((torch.arange(level.shape[3], device=src.device) + 0.5) * stride)[None].expand(*level.shape[2:])
            candidates.append(torch.stack((u, v, torch.full_like(u, side), torch.full_like(u, side)), -1).flatten(0, 1))
            tokens.append(level.flatten(2).transpose(1, 2))
        candidates, tokens = torch.cat(candidates)[None].expand(batch, -1, -1), torch.cat(tokens, 1)
        is_valid = ((candidates / limits > 0.01) & (candidates / limits < 0.99)).all(-1, keepdim=True)
        candidates = candidates.masked_fill(~is_valid, max(height, width) * 16.0)
        memory = self.enc_norm(self.enc_output(tokens.masked_fill(~is_valid, 0.0)))
        scores, deltas = self.classifiers[-1](memory), self.boxes[-1](memory)
        best = scores[..., 0].topk(self.queries, dim=1).indices
        reference = self.decode(candidates, deltas.float(), limits).gather(1, best[..., None].expand(-1, -1, 4))

        query = sines(reference, self.width // 2).flatten(-2).to(src.dtype)
        query = self.pos_norm(self.pos_trans(query))[..., :self.width]
        t = self.content[None].expand(batch, -1, -1)
        for layer, classifier, box in zip(self.layers, self.classifiers, self.boxes):
            t = layer(t, query, reference, keys, values, height, width)
            features = self.norm(t)
            logits = classifier(features)
            reference = self.decode(reference, box(features).float(), limits)
        scores, pairs = logits.float().sigmoid().flatten(1).topk(100, dim=1)
        boxes = reference.gather(1, (pairs // logits.shape[-1])[..., None].expand(-1, -1, 4))
        return scores, pairs % logits.shape[-1], boxes

    @staticmethod
    def decode(boxes, deltas, limits):
        centre = boxes[..., :2] + boxes[..., 2:] * deltas[..., :2]
        size = boxes[..., 2:] * deltas[..., 2:].clip(-4.135, 4.135).exp()
        corners = torch.cat((centre - size / 2, centre + size / 2), -1)
        corners = torch.minimum(corners.clip(min=0), limits)
        return torch.cat(((corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]), -1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "fp16"])
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(2)
    model = PlainDetr().to(args.device).eval()
    image = torch.randn(1, 3, args.height, args.width, device=args.device)

    def step():
        with torch.inference_mode(), torch.autocast(args.device, dtype=torch.float16) if args.precision == "fp16" else contextlib.nullcontext():
            scores, _, _ = model(image)
            return scores.cpu()

    for _ in range(3 if args.device == "cuda" else 1):
        step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    parameters = sum(p.numel() for p in model.parameters())
    device = torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or platform.machine()
    print(f"pytorch {torch.__version__} {device} plain_detr ({parameters} parameters) {args.height}x{args.width} {args.precision}: "
          f"median {statistics.median(times):.2f} ms, min {min(times):.2f} ms, {1000 / statistics.median(times):.1f} pictures a second")


if __name__ == "__main__":
    main()
