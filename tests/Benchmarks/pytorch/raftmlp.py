"""RaftMLP in plain PyTorch, written from the paper and the specification as a peer for benchmarks (at the size it was trained for)."""
import torch
import torch.nn as nn
import torch.nn.functional as F


class Mlp(nn.Sequential):
    def __init__(self, width, hidden):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class TokenMixing(nn.Module):
    """Mixes positions along one axis of [N, rows, columns], where rows are a group's channels and the other axis's positions."""

    def __init__(self, channels, size, raft):
        super().__init__()
        self.channels, self.size, self.raft = channels, size, raft
        self.norm = nn.LayerNorm(channels)
        self.mlp = Mlp(raft * size, 2 * raft * size)

    def forward(self, x):
        n, r, s, groups = x.shape[0], self.raft, self.size, self.channels // self.raft
        others = x.shape[1] // groups
        # [N, group and other axis, raft and this axis] to pixels with channels last, as the published normalisation does
        pixels = x.view(n, groups, others, r, s).permute(0, 2, 4, 1, 3).reshape(n, others, s, self.channels)
        normed = self.norm(pixels).view(n, others, s, groups, r).permute(0, 3, 1, 4, 2).reshape(n, groups * others, r * s)
        return x + self.mlp(normed)


class Block(nn.Module):
    def __init__(self, channels, size, raft):
        super().__init__()
        self.channels, self.size, self.raft = channels, size, raft
        self.vertical, self.horizontal = TokenMixing(channels, size, raft), TokenMixing(channels, size, raft)
        self.norm, self.mlp = nn.LayerNorm(channels), Mlp(channels, 4 * channels)

    def forward(self, x):
        n, r, s, groups = x.shape[0], self.raft, self.size, self.channels // self.raft
        x = x.view(n, s, s, r, groups).permute(0, 4, 2, 3, 1).reshape(n, groups * s, r * s)
        x = self.vertical(x)
        x = x.view(n, groups, s, r, s).permute(0, 1, 4, 3, 2).reshape(n, groups * s, r * s)
        x = self.horizontal(x)
        x = x.view(n, groups, s, r, s).permute(0, 2, 4, 3, 1).reshape(n, s * s, self.channels)
        return x + self.mlp(self.norm(x))


class Embedding(nn.Module):
    def __init__(self, inputs, channels, kernels):
        super().__init__()
        self.kernels, self.stride = kernels, min(kernels)
        self.fc = nn.Linear(inputs * sum(k * k for k in kernels), channels)

    def forward(self, x):
        parts = [F.unfold(x, k, stride=self.stride, padding=(k - self.stride) // 2) for k in self.kernels]
        return self.fc(torch.cat(parts, 1).transpose(1, 2))


class RaftMlp(nn.Module):
    def __init__(self, widths, depths, kernels, size=224, raft=2, classes=1000):
        super().__init__()
        self.embeddings, self.blocks, self.sizes = nn.ModuleList(), nn.ModuleList(), []
        inputs = 3
        for width, depth, level in zip(widths, depths, kernels):
            size //= min(level)
            self.sizes.append(size)
            self.embeddings.append(Embedding(inputs, width, level))
            self.blocks.append(nn.Sequential(*[Block(width, size, raft) for _ in range(depth)]))
            inputs = width
        self.norm = nn.LayerNorm(inputs)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        for embedding, blocks, size in zip(self.embeddings, self.blocks, self.sizes):
            tokens = blocks(embedding(x))
            x = tokens.transpose(1, 2).reshape(x.shape[0], -1, size, size)
        return self.classifier(self.norm(tokens).mean(1))
