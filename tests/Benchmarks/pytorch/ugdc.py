"""UGDC's predicting net (arXiv 2402.04584) in PyTorch, written from its description: the peer of `Benchmarks inference`.

usage: ugdc.py [--height 400] [--width 640] [--batch 8] [--runs 30] [--precision fp32|tf32|fp16] [--compile] [--stem 64]
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn


class GlobalDynamicConv(nn.Module):
    def __init__(self, channels, height, width, patch=5):
        super().__init__()
        rows, columns = height // patch, width // patch
        self.offset = nn.Parameter(torch.zeros(1))
        self.differences = nn.Parameter(torch.randn(channels, rows, columns))
        self.patches = nn.Conv2d(channels, channels, patch, patch, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.key = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.projection = nn.Conv2d(rows * columns, channels, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        filters = F.gelu(self.norm((self.patches(x) + self.differences).flatten(2).transpose(1, 2)))
        products = torch.baddbmm(self.offset.to(x.dtype), filters, self.key(x).flatten(2))
        return x + self.projection(products.view(n, -1, h, w))


def conv(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def double_conv(inputs, outputs):
    return nn.Sequential(*conv(inputs, outputs), *conv(outputs, outputs))


def dynamic_conv(inputs, outputs, height, width):
    return nn.Sequential(
        GlobalDynamicConv(inputs, height, width), nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), *conv(inputs, outputs))


class Ugdc(nn.Module):
    def __init__(self, height, width, stem=64):
        super().__init__()
        size = [(height >> level, width >> level) for level in range(5)]
        s = stem
        self.level0 = double_conv(3, s)
        self.level1 = double_conv(s, 2 * s)
        self.level2 = double_conv(2 * s, 4 * s)
        self.level3 = dynamic_conv(4 * s, 8 * s, *size[3])
        self.level4 = dynamic_conv(8 * s, 16 * s, *size[4])
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(k * s, k * s // 2, 2, 2) for k in (16, 8, 4, 2))
        self.up = nn.ModuleList([
            dynamic_conv(16 * s, 8 * s, *size[3]), dynamic_conv(8 * s, 4 * s, *size[2]),
            double_conv(4 * s, 2 * s), double_conv(2 * s, s)])
        self.head = nn.Conv2d(s, 3, 1)

    def forward(self, x):
        skips = [self.level0(x)]
        for level in (self.level1, self.level2, self.level3, self.level4):
            skips.append(level(F.max_pool2d(skips[-1], 2)))
        y = skips.pop()
        for enlarge, up in zip(self.enlarge, self.up):
            y = up(torch.cat([skips.pop(), enlarge(y)], 1))
        return self.head(y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--height", type=int, default=400)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--stem", type=int, default=64)
    parser.add_argument("--precision", default="fp16", choices=["fp32", "tf32", "fp16"])
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(2)
    model = Ugdc(args.height, args.width, args.stem).to(args.device).eval()
    x = torch.randn(args.batch, 3, args.height, args.width, device=args.device)
    if args.precision == "fp16":
        model, x = model.half(), x.half()
    if args.device == "cuda":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    run = torch.compile(model, mode="max-autotune") if args.compile else model

    def step():
        start = time.perf_counter()
        run(x)
        if args.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3

    with torch.inference_mode():
        for _ in range(5):
            step()
        times = [step() for _ in range(args.runs)]
    median = statistics.median(times)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"pytorch {torch.__version__} ugdc ({parameters} parameters) {args.height}x{args.width} batch {args.batch} {args.precision}"
          f"{' compiled' if args.compile else ''}: median {median:.2f} ms, {args.batch / median * 1e3:.0f} pictures/s")


if __name__ == "__main__":
    main()
