"""TSCAN with both branches in plain PyTorch, written from the paper and the specification, and the time of scoring or of a training step.

usage: tscan.py scoring|training [--device cpu|cuda] [--inputs 76] [--columns 59] [--batch 64] [--runs 20] [--precision fp32|tf32|amp]
"""
import argparse
import contextlib
import math
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

BINS, SEGMENTS, WIDTH, HEADS, HIDDEN, HEAD_WIDTH, DROPOUT = 48, 4, 512, 8, 512, 20, 0.3


def positions(length, width):
    row, column = torch.arange(length, dtype=torch.float64)[:, None], torch.arange(width)
    angle = row / 10000.0 ** (2 * (column // 2) / width)
    return torch.cat([angle[:, 0::2].sin(), angle[:, 1::2].cos()], 1).float()


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, WIDTH) for _ in range(3))
        self.combine = nn.Linear(WIDTH, width)

    def forward(self, x, memory, mask=None):
        q, k, v = (layer(t).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer, t in
                   ((self.query, x), (self.key, memory), (self.value, memory)))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores + mask
        return F.dropout(self.combine((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)), DROPOUT, self.training)


class Layer(nn.Module):
    """A layer of the first segment, or of another one, which also looks at the segment before."""

    def __init__(self, length, width, looks_back):
        super().__init__()
        self.register_buffer("positions", positions(length, width), persistent=False)
        self.register_buffer("mask", torch.full((length, length), -1e9).triu(1) if looks_back else None, persistent=False)
        self.attention, self.back = Attention(width), Attention(width) if looks_back else None
        self.feed = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width), nn.Dropout(DROPOUT))
        self.norm, self.last_norm = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)

    def forward(self, x, memory=None):
        x = x + self.positions
        x = self.norm(x + self.attention(x, x, self.mask))
        if memory is not None:
            x = self.norm(x + self.back(x, memory, self.mask))
        return self.last_norm(x + self.feed(x))


class Branch(nn.Module):
    def __init__(self, length, width):
        super().__init__()
        self.layers = nn.ModuleList(Layer(length, width, i > 0) for i in range(SEGMENTS))

    def forward(self, segments):
        memory = None
        for layer, segment in zip(self.layers, segments):
            memory = layer(segment, memory)
        return memory


class Tscan(nn.Module):
    def __init__(self, columns):
        super().__init__()
        self.columns, length = columns, BINS // SEGMENTS
        self.temporal, self.feature = Branch(length, columns), Branch(columns, length)
        self.hidden, self.out = nn.Linear(columns, HEAD_WIDTH), nn.Linear(HEAD_WIDTH, 1)

    def forward(self, x):
        segments = x[:, :, :self.columns].chunk(SEGMENTS, 1)
        joined = torch.cat([self.temporal(segments), self.feature([s.transpose(1, 2) for s in segments]).transpose(1, 2)], 1).mean(1)
        hidden = self.hidden(F.dropout(joined, DROPOUT, self.training)).sigmoid()
        return self.out(F.dropout(hidden, DROPOUT, self.training))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["scoring", "training"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inputs", type=int, default=76)
    parser.add_argument("--columns", type=int, default=59)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "amp"])
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = args.precision != "fp32"
    if args.device == "cpu":
        torch.set_num_threads(2)
    model = Tscan(args.columns).to(args.device).train(args.what == "training")
    x = torch.randn(args.batch, BINS, args.inputs, device=args.device)
    y = torch.randint(0, 2, (args.batch, 1), device=args.device).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    mixed = args.precision == "amp"
    scaler = torch.amp.GradScaler(args.device) if mixed else None

    def cast():
        return torch.autocast(args.device, dtype=torch.float16) if mixed else contextlib.nullcontext()

    def run():
        if args.what == "scoring":
            with torch.inference_mode(), cast():
                model(x)
        else:
            optimizer.zero_grad(set_to_none=True)
            with cast():
                loss = F.binary_cross_entropy_with_logits(model(x), y)
            if scaler:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            else:
                loss.backward()
                optimizer.step()
        if args.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        run()
    times = []
    for _ in range(args.runs):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    print(f"pytorch {torch.__version__} {args.device} {args.what}, {args.columns} of {args.inputs} columns "
          f"({sum(p.numel() for p in model.parameters())} parameters), batch {args.batch}, {args.precision}: "
          f"median {statistics.median(times):.2f} ms, min {min(times):.2f} ms")


if __name__ == "__main__":
    main()
