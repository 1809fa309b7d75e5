"""Consistent self-attention at the sizes of Stable Diffusion XL in PyTorch: the peer of `Benchmarks story`.

Two ways: scaled_dot_product_attention over all keys with a boolean mask, and over the keys that count, which are gathered
image by image and need no mask.

usage: story.py [--device cuda] [--precision fp32|tf32|fp16] [--size 768] [--images 2,3,4] [--share 0.5] [--runs 20]
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

GROUPS = 2
LAYERS = [("level 32", 1280, 20, 32, 30), ("level 64", 640, 10, 16, 6)]


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def keys_of(bank, live):
    return torch.cat([bank, live.reshape(GROUPS, -1, live.shape[-1])], 1)


def with_mask(query, key, value, bank_key, bank_value, mask, heads):
    images, tokens = query.shape[0] // GROUPS, query.shape[1]
    rows = mask.repeat_interleave(tokens, 0)  # [n * N, M + n * N]
    q = split(query.reshape(GROUPS, images * tokens, -1), heads)
    k, v = split(keys_of(bank_key, key), heads), split(keys_of(bank_value, value), heads)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=rows).transpose(1, 2).reshape(query.shape)


def gathered(query, key, value, bank_key, bank_value, mask, heads):
    images = query.shape[0] // GROUPS
    k, v = keys_of(bank_key, key), keys_of(bank_value, value)
    q = query.unflatten(0, (GROUPS, images))
    outputs = []
    for image in range(images):
        index = mask[image].nonzero().squeeze(1)
        outputs.append(F.scaled_dot_product_attention(
            split(q[:, image], heads), split(k[:, index], heads), split(v[:, index], heads)).transpose(1, 2).flatten(2))
    return torch.stack(outputs, 1).flatten(0, 1)


def plain(query, key, value, bank_key, bank_value, mask, heads):
    return F.scaled_dot_product_attention(split(query, heads), split(key, heads), split(value, heads)).transpose(1, 2).flatten(2)


def median(function, arguments, runs, device):
    times = []
    try:
        for run in range(3 + runs):
            start = time.perf_counter()
            function(*arguments)
            if device == "cuda":
                torch.cuda.synchronize()
            if run >= 3:
                times.append((time.perf_counter() - start) * 1e3)
    except torch.OutOfMemoryError:
        return float("nan")
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp16", choices=["fp32", "tf32", "fp16"])
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--images", default="2,3,4")
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    if args.device == "cpu":
        torch.set_num_threads(2)
    dtype = torch.float16 if args.precision == "fp16" else torch.float32
    counts = [int(count) for count in args.images.split(",")]
    print(f"pytorch {torch.__version__}, {args.size} x {args.size}, {args.precision}; median ms of a layer:"
          f"{'mask':>18} {'gathered':>12}")
    sums = {count: [0.0, 0.0] for count in counts}
    for name, channels, heads, stride, layers in LAYERS:
        tokens = (args.size // stride) ** 2

        def measure(images, bank_images, functions):
            live = [torch.rand(GROUPS * images, tokens, channels, device=args.device, dtype=dtype) * 2 - 1 for _ in range(3)]
            bank = [torch.rand(GROUPS, bank_images * tokens, channels, device=args.device, dtype=dtype) * 2 - 1 for _ in range(2)]
            mask = torch.rand(images, (bank_images + images) * tokens, device=args.device) < args.share
            for image in range(images):
                mask[image, (bank_images + image) * tokens:(bank_images + image + 1) * tokens] = True
            return [median(function, (*live, *bank, mask, heads), args.runs, args.device) for function in functions]

        with torch.inference_mode():
            print(f"{name + ', plain, 1 picture':<42} {measure(1, 0, [plain])[0]:>25.2f}")
            for count in counts:
                for label, images, bank_images in ((f"write of {count}", count, 0), (f"read from {count}", 1, count)):
                    times = measure(images, bank_images, [with_mask, gathered])
                    print(f"{name + ', ' + label:<42} {times[0]:>12.2f} {times[1]:>12.2f}")
                    sums[count] = [total + layers * own for total, own in zip(sums[count], times)]
    for count in counts:
        print(f"{f'all 36 layers, write of {count} and one read':<42} {sums[count][0]:>12.1f} {sums[count][1]:>12.1f}")


if __name__ == "__main__":
    main()
