"""The time of a training step (forward, backward, AdamW) in PyTorch: the peer that our training step is measured against.

usage: training_step.py MODEL [--device cpu|cuda] [--size 224] [--batch 128] [--steps 20] [--precision fp32|tf32|amp]
"""
import argparse
import platform
import statistics
import time

import torch
import torch.nn.functional as F

from biformer import BiFormer
from raftmlp import RaftMlp
from tnt import Tnt

MODELS = {
    "biformer_tiny": lambda size: BiFormer([2, 2, 8, 2], [64, 128, 256, 512], [2, 4, 8, 8], [1, 4, 16, -2], windows=7, classes=1000),
    "biformer_small32": lambda size: BiFormer([1, 1, 2], [32, 64, 128], [1, 2, 8], [2, 4, -2], windows=4, classes=10),
    "tnt_s_patch16_224": lambda size: Tnt(384, 24, 12, 6, 4, size),
    "raftmlp_s": lambda size: RaftMlp([64, 128, 256, 512], [2, 2, 6, 2], [[4, 8], [2, 4], [2, 4], [2]], size),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "amp"])
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(2)
    model = MODELS[args.model](args.size).to(args.device).train()
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=0.05), dict(params=rest, weight_decay=0.0)], lr=1e-3)
    scaler = torch.amp.GradScaler(args.device) if args.precision == "amp" else None
    x = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    with torch.no_grad():
        classes = model.eval()(x[:1]).shape[1]
    model.train()
    y = torch.randint(0, classes, (args.batch,), device=args.device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        if scaler:
            with torch.autocast(args.device, dtype=torch.float16):
                loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
        if args.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    parameters = sum(p.numel() for p in model.parameters())
    device = torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or platform.machine()
    print(f"pytorch {torch.__version__} {device} {args.model} ({parameters} parameters) size {args.size} batch {args.batch} "
          f"{args.precision}: median {statistics.median(times):.2f} ms, min {min(times):.2f} ms a step")


if __name__ == "__main__":
    main()
