"""SCCAN (arXiv 2308.09294) in PyTorch, written from its description: the peer of `Benchmarks segmentation`.

usage: sccan.py [--layers 50|101] [--size 473] [--shots 1] [--batch 8] [--runs 30] [--precision fp32|tf32|fp16]
"""
import argparse
import contextlib
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

GRID, WIDTH, HEADS, WINDOW, BLOCKS = 64, 256, 8, 8, 8


def resize(x, size):
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=True)


def conv_norm(inputs, outputs, kernel=1, stride=1, dilation=1):
    padding = dilation * (kernel // 2)
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(outputs)]


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride=1, dilation=1, shortcut=False):
        super().__init__()
        self.branch = nn.Sequential(
            *conv_norm(inputs, width), nn.ReLU(inplace=True),
            *conv_norm(width, width, 3, stride, dilation), nn.ReLU(inplace=True), *conv_norm(width, 4 * width))
        self.shortcut = nn.Sequential(*conv_norm(inputs, 4 * width, 1, stride)) if shortcut else nn.Identity()

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


class Backbone(nn.Module):
    def __init__(self, depths):
        super().__init__()
        self.stem = nn.Sequential(
            *conv_norm(3, 64, 3, 2), nn.ReLU(inplace=True), *conv_norm(64, 64, 3), nn.ReLU(inplace=True),
            *conv_norm(64, 128, 3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.stages, inputs = nn.ModuleList(), 128
        for width, depth, stride, first, rest in zip((64, 128, 256, 512), depths, (1, 2, 1, 1), (1, 1, 1, 2), (1, 1, 2, 4)):
            blocks = [Bottleneck(inputs, width, stride, first, shortcut=True)]
            blocks += [Bottleneck(4 * width, width, dilation=rest) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = 4 * width

    def forward(self, x):
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[2:]


def cut(x, shift):
    """[N, H, W, C] to [N, windows, positions, C]."""
    if shift:
        x = F.pad(x, (0, 0, shift, WINDOW - shift, shift, WINDOW - shift))
    n, h, w, c = x.shape
    x = x.view(n, h // WINDOW, WINDOW, w // WINDOW, WINDOW, c).transpose(2, 3)
    return x.reshape(n, -1, WINDOW * WINDOW, c)


def join(x, shift):
    n, count, _, c = x.shape
    side = int(count ** 0.5)
    x = x.view(n, side, side, WINDOW, WINDOW, c).transpose(2, 3).reshape(n, side * WINDOW, side * WINDOW, c)
    return x[:, shift:shift + GRID, shift:shift + GRID] if shift else x


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv, self.proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, support=None):
        def heads(rows):
            return rows.unflatten(-1, (HEADS, -1)).transpose(-2, -3)

        q = heads(self.q(x))
        k, v = self.kv(x if support is None else torch.cat([x, support], 2)).chunk(2, -1)
        k, v = heads(k), heads(v)
        length = x.shape[2]
        scores = q @ k[..., :length, :].transpose(-1, -2) * q.shape[-1] ** -0.5
        if support is not None:
            others = k[..., length:, :]
            norms = q.norm(dim=-1, keepdim=True) @ others.norm(dim=-1, keepdim=True).transpose(-1, -2)
            scores = torch.cat([scores, q @ others.transpose(-1, -2) / (norms + 1e-7)], -1)
        return self.proj((scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2))


def mlp():
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))


class Block(nn.Module):
    def __init__(self, shift, last):
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn_q, self.mlp_q = Attention(), mlp()
        self.attn_s, self.mlp_s = (None, None) if last else (Attention(), mlp())

    def forward(self, q, s, mask):
        x, y, masks = cut(self.norm1(q), self.shift), cut(self.norm1(s), self.shift), cut(mask, self.shift)
        area = masks.sum(2) + 0.0005
        a, b = (y.float() * masks).sum(2) / area, x.float().mean(2)
        cosines = a @ b.transpose(1, 2) / (a.norm(dim=-1, keepdim=True) @ b.norm(dim=-1, keepdim=True).transpose(1, 2) + 1e-7)
        index = (cosines.add(1).div(2) * (area != 0.0005)).argmax(1)
        aligned = y.gather(1, index[:, :, None, None].expand(-1, -1, *y.shape[2:]))
        q = q + join(self.attn_q(x, aligned), self.shift)
        q = q + self.mlp_q(self.norm2(q))
        if self.attn_s is not None:
            s = s + join(self.attn_s(y), self.shift)
            s = s + self.mlp_s(self.norm2(s))
        return q, s


class Sccan(nn.Module):
    def __init__(self, depths):
        super().__init__()
        self.backbone = Backbone(depths)
        self.down_query, self.down_supp = nn.Conv2d(1536, WIDTH, 1, bias=False), nn.Conv2d(1536, WIDTH, 1, bias=False)
        self.merge_query, self.merge_supp = (nn.Conv2d(2 * WIDTH + 1, WIDTH, 1, bias=False) for _ in range(2))
        self.blocks = nn.ModuleList(Block(i % 2 * WINDOW // 2, i == BLOCKS - 1) for i in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)
        self.pyramid = nn.ModuleList([
            nn.Conv2d(WIDTH, WIDTH, 1), nn.Conv2d(WIDTH, WIDTH, 1),
            *(nn.Conv2d(WIDTH, WIDTH, 3, padding=rate, dilation=rate) for rate in (6, 12, 18))])
        self.res1 = nn.Conv2d(5 * WIDTH, WIDTH, 1, bias=False)
        self.res2 = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(WIDTH, 2, 1))

    def prior(self, query, support, mask):
        """In float32 whatever the rest is computed in."""
        with torch.autocast(query.device.type, enabled=False):
            query, support = (x.float().flatten(2) for x in (query, support))
            norms = query.norm(dim=1)[:, :, None] @ support.norm(dim=1)[:, None]
            means = ((query.transpose(1, 2) @ support / (norms + 1e-7)).softmax(-1) @ mask.flatten(2).transpose(1, 2)).squeeze(2)
            least, most = means.amin(1, keepdim=True), means.amax(1, keepdim=True)
            means = (means - least) / (most - least + 1e-7)
            side = int(means.shape[1] ** 0.5)
            return resize(means.view(-1, 1, side, side), GRID)

    def forward(self, x, support, mask):
        n, shots = support.shape[:2]
        c2, c3, c4 = self.backbone(x)
        support = support.flatten(0, 1)
        s2, s3, s4 = self.backbone(support.contiguous(memory_format=torch.channels_last) if x.is_cuda else support)
        q = resize(F.relu(self.down_query(torch.cat([c2, c3], 1))), GRID)
        s = resize(F.relu(self.down_supp(torch.cat([s2, s3], 1))), GRID)
        masks = resize((mask == 1).float(), GRID).flatten(0, 1)[:, None]
        prototype = (s * masks).sum((2, 3)) / (masks.sum((2, 3)) + 0.0005)

        def mean(values):
            return values.unflatten(0, (n, shots)).mean(1)

        s4 = resize(s4, GRID).unflatten(0, (n, shots))
        prior = torch.stack([self.prior(c4, s4[:, k], masks.unflatten(0, (n, shots))[:, k]) for k in range(shots)]).mean(0)
        supp_mask, prototype = mean(masks), mean(prototype)[:, :, None, None].expand(-1, -1, GRID, GRID)
        q = self.merge_query(torch.cat([q, prototype, prior], 1)).permute(0, 2, 3, 1)
        s = self.merge_supp(torch.cat([mean(s * masks), prototype, supp_mask], 1)).permute(0, 2, 3, 1)
        for block in self.blocks:
            q, s = block(q, s, supp_mask.permute(0, 2, 3, 1))
        y = F.relu(self.norm(q).permute(0, 3, 1, 2))
        branches = [F.relu(self.pyramid[0](y.mean((2, 3), keepdim=True))).expand(-1, -1, GRID, GRID)]
        branches += [F.relu(conv(y)) for conv in self.pyramid[1:]]
        y = F.relu(self.res1(torch.cat(branches, 1)))
        return resize(self.head(y + self.res2(y)), x.shape[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=50, choices=[50, 101])
    parser.add_argument("--size", type=int, default=473)
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--precision", default="tf32", choices=["fp32", "tf32", "fp16"])
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision != "fp32"
    torch.backends.cudnn.benchmark = True
    if args.device == "cpu":
        torch.set_num_threads(2)
    model = Sccan((3, 4, 6, 3) if args.layers == 50 else (3, 4, 23, 3)).to(args.device).eval()
    size = (args.size, args.size)
    x = torch.randn(args.batch, 3, *size, device=args.device)
    support = torch.randn(args.batch, args.shots, 3, *size, device=args.device)
    mask = (torch.rand(args.batch, args.shots, *size, device=args.device) > 0.5).to(torch.uint8)
    if args.device == "cuda":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    in_half = args.precision == "fp16"

    def step():
        start = time.perf_counter()
        with torch.autocast(args.device, dtype=torch.float16) if in_half else contextlib.nullcontext():
            model(x, support, mask)
        if args.device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3

    with torch.inference_mode():
        for _ in range(5):
            step()
        times = [step() for _ in range(args.runs)]
    median = statistics.median(times)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"pytorch {torch.__version__} sccan R{args.layers} ({parameters} parameters) {args.shots} shot(s) {args.size} batch {args.batch} "
          f"{args.precision}: median {median:.2f} ms, {args.batch / median * 1e3:.1f} images/s")


if __name__ == "__main__":
    main()
