"""Writes small UNets as PyTorch's exporter does, with attention in the ways that models write it, and what they compute when their
self-attentions on the way up are consistent. PyTorch 1.13 with torch.onnx; every file of one shape has the same weights and so the same results.

Usage: python3 make-exports.py FOLDER
"""
import gzip
import io
import json
import struct
import sys

import torch
import torch.nn.functional as F
from torch import nn

HEADS, TEXT, GROUPS = 2, 6, 2
IDS, GUIDED = 2, 2  # identity images, halves of a batch


class Attention(nn.Module):
    """attn1 or attn2; `style` says how the products are written."""

    def __init__(self, channels, context, style):
        super().__init__()
        self.style, self.channels, self.story = style, channels, None
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.is_self = context == channels
        if style == "lora":
            self.down, self.up = nn.Linear(channels, 2, bias=False), nn.Linear(2, channels, bias=False)

    def pack(self):
        """Moves the three projections of a self-attention into one, in the style's order of channels."""
        weights = torch.stack([self.to_q.weight.data, self.to_k.weight.data, self.to_v.weight.data])
        if self.style == "per_head":
            weights = weights.reshape(3, HEADS, -1, self.channels).transpose(0, 1)
        self.to_qkv = nn.Linear(self.channels, 3 * self.channels, bias=False)
        self.to_qkv.weight.data = weights.reshape(3 * self.channels, self.channels).contiguous()

    def adapt(self):
        """Moves a part of the query's projection into an adapter of low rank."""
        self.to_q.weight.data -= 0.5 * self.up.weight.data @ self.down.weight.data

    def forward(self, x, context=None):
        source = x if context is None else context
        if self.story is not None:
            return self.to_out[0](self.story(self, x))
        style = self.style if self.is_self else {"lora": "plain", "chunk": "plain", "unbind": "plain", "per_head": "plain"}.get(self.style, self.style)
        batch, d = x.shape[0], self.channels // HEADS
        if style == "chunk":
            q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        elif style == "unbind":
            q, k, v = self.to_qkv(x).reshape(batch, -1, 3, HEADS, d).permute(2, 0, 3, 1, 4).unbind(0)
        elif style == "per_head":
            q, k, v = (part.transpose(1, 2) for part in self.to_qkv(x).reshape(batch, -1, HEADS, 3, d).unbind(3))
        else:
            q, k, v = self.to_q(x), self.to_k(source), self.to_v(source)
            if style == "lora":
                q = q + 0.5 * self.up(self.down(x))
        if style == "baddbmm":
            q, k, v = (self.fold(value) for value in (q, k, v))
            scores = torch.baddbmm(
                torch.zeros(q.shape[0], q.shape[1], k.shape[1], dtype=q.dtype), q, k.transpose(-1, -2), beta=0, alpha=d ** -0.5)
            y = self.unfold(torch.bmm(scores.softmax(dim=-1), v))
        elif style == "einsum":
            q, k, v = (self.fold(value) for value in (q, k, v))
            scores = torch.einsum("b i d, b j d -> b i j", q, k) * d ** -0.5
            y = self.unfold(torch.einsum("b i j, b j d -> b i d", scores.softmax(dim=-1), v))
        else:
            if q.dim() == 3:
                q, k, v = (value.view(batch, -1, HEADS, d).transpose(1, 2) for value in (q, k, v))
            scores = (q * d ** -0.5) @ k.transpose(-2, -1)
            y = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, -1, self.channels)
        return self.to_out[0](y)

    def fold(self, x):
        return x.reshape(x.shape[0], x.shape[1], HEADS, -1).permute(0, 2, 1, 3).reshape(x.shape[0] * HEADS, x.shape[1], -1)

    def unfold(self, x):
        return x.reshape(x.shape[0] // HEADS, HEADS, x.shape[1], -1).permute(0, 2, 1, 3).reshape(x.shape[0] // HEADS, x.shape[1], -1)


class TransformerBlock(nn.Module):
    def __init__(self, channels, style):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1, self.attn2 = Attention(channels, channels, style), Attention(channels, TEXT, style)
        self.ff = nn.Linear(channels, channels)

    def forward(self, x, text):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), text)
        return x + F.gelu(self.ff(self.norm3(x)))


class Transformer(nn.Module):
    def __init__(self, channels, style):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.proj_in, self.proj_out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, style)])

    def forward(self, x, text):
        batch, channels, height, width = x.shape
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        for block in self.transformer_blocks:
            y = block(y, text)
        return x + self.proj_out(y.reshape(batch, height, width, channels).permute(0, 3, 1, 2))


class ResnetBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        y = self.conv1(F.silu(self.norm1(x)))
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Block(nn.Module):
    """A resolution of the way down or up; on the way up each residual block takes a skip connection."""

    def __init__(self, inputs, skips, channels, attends, scale, style):
        super().__init__()
        self.resnets = nn.ModuleList(
            [ResnetBlock((inputs if i == 0 else channels) + skip, channels) for i, skip in enumerate(skips)])
        if attends:
            self.attentions = nn.ModuleList([Transformer(channels, style) for _ in skips])
        self.attends, self.scale, self.freeu = attends, scale, None
        if scale != 1:
            self.sampler = nn.Conv2d(channels, channels, 3, stride=2 if scale < 1 else 1, padding=1)

    def forward(self, x, text, skips, is_up):
        for i, resnet in enumerate(self.resnets):
            if is_up:
                skip = skips.pop()
                if self.freeu is not None:
                    x, skip = free(x, skip, *self.freeu)
                x = torch.cat([x, skip], dim=1)
            x = resnet(x)
            if self.attends:
                x = self.attentions[i](x, text)
            if not is_up:
                skips.append(x)
        if self.scale > 1:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if self.scale != 1:
            x = self.sampler(x)
        if self.scale < 1:
            skips.append(x)
        return x


def free(x, skip, s, b):
    """FreeU by its definition: backbone channels times b, the four lowest frequencies of the skip connection times s."""
    half = x.shape[1] // 2
    x = torch.cat([x[:, :half] * b, x[:, half:]], dim=1)
    spectrum = torch.fft.fftshift(torch.fft.fftn(skip, dim=(-2, -1)), dim=(-2, -1))
    row, column = skip.shape[-2] // 2, skip.shape[-1] // 2
    spectrum[..., row - 1:row + 1, column - 1:column + 1] *= s
    return x, torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real


class Unet(nn.Module):
    """`attends`: for each resolution from the highest, whether it has attention."""

    def __init__(self, channels, attends, style, names):
        super().__init__()
        self.names = names
        last = len(channels) - 1
        self.conv_in = nn.Conv2d(2, channels[0], 3, padding=1)
        down = [Block(channels[max(i - 1, 0)], [0], channels[i], attends[i], 0.5 if i < last else 1, style) for i in range(last + 1)]
        skips = [channels[0]]
        for i in range(last + 1):
            skips += [channels[i]] * (2 if i < last else 1)
        up, inputs = [], channels[last]
        for i in range(last, -1, -1):
            up.append(Block(inputs, [skips.pop(), skips.pop()], channels[i], attends[i], 2 if i > 0 else 1, style))
            inputs = channels[i]
        setattr(self, names[0], nn.ModuleList(down))
        setattr(self, names[1], Block(channels[last], [0], channels[last], True, 1, style))
        setattr(self, names[2], nn.ModuleList(up))
        self.conv_out = nn.Conv2d(channels[0], 2, 3, padding=1)

    def forward(self, sample, timestep, encoder_hidden_states):
        x = self.conv_in(sample) + 0.001 * timestep
        skips = [x]
        for block in getattr(self, self.names[0]):
            x = block(x, encoder_hidden_states, skips, False)
        x = getattr(self, self.names[1])(x, encoder_hidden_states, [], False)
        for block in getattr(self, self.names[2]):
            x = block(x, encoder_hidden_states, skips, True)
        return self.conv_out(x)

    def consistent(self):
        return [transformer.transformer_blocks[0].attn1
                for block in getattr(self, self.names[2]) if block.attends for transformer in block.attentions]


DIFFUSERS, COMPVIS = ("down_blocks", "mid_block", "up_blocks"), ("input_blocks", "middle_block", "output_blocks")
SHAPES = {"xl": ([4, 4, 8], [False, True, True]), "sd": ([4, 4, 4, 8], [True, True, True, False])}
EXPORTS = [  # name, shape, style, opset, names, static
    ("xl-plain-14", "xl", "plain", 14, DIFFUSERS, False),
    ("xl-baddbmm-15", "xl", "baddbmm", 15, DIFFUSERS, False),
    ("xl-einsum-16", "xl", "einsum", 16, COMPVIS, False),
    ("xl-chunk-17", "xl", "chunk", 17, COMPVIS, False),
    ("xl-unbind-14", "xl", "unbind", 14, COMPVIS, False),
    ("xl-per_head-17", "xl", "per_head", 17, DIFFUSERS, False),
    ("xl-lora-14", "xl", "lora", 14, DIFFUSERS, False),
    ("xl-baddbmm-17-static", "xl", "baddbmm", 17, COMPVIS, True),
    ("sd-plain-17", "sd", "plain", 17, DIFFUSERS, False),
    ("sd-baddbmm-14", "sd", "baddbmm", 14, COMPVIS, False),
]


class Story:
    """Consistent self-attention in place of one attention: by mode, with a bank of keys and values."""

    def __init__(self):
        self.mode, self.mask, self.bank, self.seen = 0, None, None, None

    def __call__(self, attention, x):
        q, k, v = attention.to_q(x), attention.to_k(x), attention.to_v(x)
        self.seen = (k, v)
        batch, tokens, channels = x.shape
        images = batch // GUIDED
        result = torch.empty_like(q)
        for row in range(batch):
            group, image = divmod(row, images)
            rows = slice(group * images, (group + 1) * images)
            keys, values = k[rows].reshape(-1, channels), v[rows].reshape(-1, channels)
            own = torch.zeros(images * tokens, dtype=torch.bool)
            own[image * tokens:(image + 1) * tokens] = True
            if self.bank is not None:
                keys = torch.cat([self.bank[0].reshape(GUIDED, -1, channels)[group], keys])
                values = torch.cat([self.bank[1].reshape(GUIDED, -1, channels)[group], values])
                own = torch.cat([torch.zeros(keys.shape[0] - own.shape[0], dtype=torch.bool), own])
            allowed = {0: own, 1: torch.ones_like(own), 2: None if self.mask is None else self.mask[image] | own}[self.mode]
            d = channels // HEADS
            for head in range(HEADS):
                part = slice(head * d, (head + 1) * d)
                scores = q[row][:, part] @ keys[:, part].T * d ** -0.5
                scores = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
                result[row][:, part] = scores @ values[:, part]
        return result


def build(shape, style, names):
    torch.manual_seed(7)
    channels, attends = SHAPES[shape]
    unet = Unet(channels, attends, "plain", names).eval()
    if style != "plain":
        torch.manual_seed(11)
        other = Unet(channels, attends, style, names).eval()
        missing = other.load_state_dict(unet.state_dict(), strict=False).missing_keys
        assert style == "lora" or not missing
        unet = other
    for module in unet.modules():
        if isinstance(module, Attention) and module.is_self:
            if style in ("chunk", "unbind", "per_head"):
                module.pack()
                del module.to_q, module.to_k, module.to_v
            elif style == "lora":
                module.adapt()
    return unet


def inputs_of(images, height, width, seed):
    torch.manual_seed(seed)
    sample = torch.randn(images, 2, height, width)
    return sample.repeat(GUIDED, 1, 1, 1), torch.tensor(321.0), torch.randn(GUIDED * images, 3, TEXT)


def expected(shape):
    """What the network computes: a write pass over the identity images, then a read pass of one image, in three ways."""
    unet = build(shape, "plain", DIFFUSERS)
    height, width = (8, 12) if shape == "xl" else (8, 16)
    channels, attends = SHAPES[shape]
    layers = unet.consistent()
    sizes = [height * width >> 2 * i for i in range(len(channels)) if attends[i]][::-1]
    torch.manual_seed(3)
    masks = [torch.rand(IDS + 1, (IDS + 1) * n) < 0.5 for n in sizes]
    levels = [level for level in range(len(sizes)) for _ in range(2)]
    tensors = {f"mask.{level}": mask for level, mask in enumerate(masks)}
    write, read = inputs_of(IDS, height, width, 1), inputs_of(1, height, width, 2)
    for name, values in (("write", write), ("read", read)):
        tensors.update({f"{name}.sample": values[0], f"{name}.encoder_hidden_states": values[2]})
    for layer in layers:
        layer.story = Story()
    for name, write_mode, read_mode in (("plain", 0, 0), ("masked", 2, 2), ("early", 0, 1)):
        for layer, level in zip(layers, levels):
            layer.story.mode, layer.story.bank = write_mode, None
            layer.story.mask = masks[level][:IDS, :IDS * sizes[level]]
        tensors[f"write_{name}"] = unet(*write)
        for layer, level in zip(layers, levels):
            layer.story.mode, layer.story.bank = read_mode, layer.story.seen
            layer.story.mask = masks[level][IDS:]
        tensors[f"read_{name}"] = unet(*read)
    for layer in layers:
        layer.story = None
    unet.up_blocks[0].freeu, unet.up_blocks[1].freeu = (0.6, 1.1), (0.4, 1.2)
    tensors["write_freeu"] = unet(*write)
    return tensors


def save_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        kind, values = ("BOOL", tensor.to(torch.uint8)) if tensor.dtype == torch.bool else ("F32", tensor.float())
        part = values.contiguous().numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(folder):
    with torch.no_grad():
        results = {}
        for shape in SHAPES:
            results[shape] = expected(shape)
            save_safetensors(f"{folder}/{shape}.safetensors", results[shape])
        for name, shape, style, opset, names, static in EXPORTS:
            unet = build(shape, style, names)
            tensors = results[shape]
            write = (tensors["write.sample"], torch.tensor(321.0), tensors["write.encoder_hidden_states"])
            error = (unet(*write) - tensors["write_plain"]).abs().max().item()
            # The small products of PyTorch 1.13's baddbmm are at times not set at all; its graph is right.
            assert error < 1e-5 or style == "baddbmm", (name, error)
            file = io.BytesIO()
            torch.onnx.export(
                unet, write, file, opset_version=opset,
                input_names=["sample", "timestep", "encoder_hidden_states"], output_names=["out_sample"],
                dynamic_axes=None if static else {
                    "sample": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}})
            with open(f"{folder}/{name}.onnx.gz", "wb") as zipped:
                zipped.write(gzip.compress(file.getvalue(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1])
