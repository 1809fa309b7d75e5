"""Writes the .pth files beside it with PyTorch (those committed: 1.13). Each holds what its name says; the values are simple rules, so that
PyTorchFilesTests.cs can tell them without PyTorch."""
import collections
import os

import numpy
import torch

FOLDER = os.path.dirname(os.path.abspath(__file__))


def save(name, value, **options):
    torch.save(value, os.path.join(FOLDER, name), **options)


def count(kind, *sizes):
    number = 1
    for size in sizes:
        number *= size
    return torch.arange(number).reshape(sizes).to(kind)


save("types.pth", collections.OrderedDict(
    (str(kind).split(".")[1], count(kind, 2, 3))
    for kind in [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                 torch.uint8, torch.bool]))

base = count(torch.float32, 4, 6)
save("views.pth", {
    "base": base,
    "transposed": base.t(),
    "column": base[:, 2],
    "part": base[1:3, 1:6:2],
    "scalar": base[3, 5],
    "expanded": base[1:2].expand(3, 6),
    "empty": base[:0],
    "parameter": torch.nn.Parameter(base[0].clone()),
})

model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
for parameter in model.parameters():
    torch.nn.init.constant_(parameter, 0.5)
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(4, 3)).sum().backward()
optimizer.step()
for parameter in model.parameters():
    torch.nn.init.constant_(parameter, 0.5)
wrapped = collections.OrderedDict(("module." + name, value) for name, value in model.state_dict().items())
save("training.pth", {
    "epoch": 3, "best": numpy.float64(81.5), "flags": {1, 2}, "state_dict": wrapped,
    "state_dict_ema": {name: value * 2 for name, value in wrapped.items()}, "optimizer": optimizer.state_dict(),
})
save("protocol4.pth", {"weight": count(torch.float32, 2, 2)}, pickle_protocol=4)
save("model.pth", model)
save("legacy.pth", {"weight": count(torch.float32, 2, 2)}, _use_new_zipfile_serialization=False)
torch.jit.script(torch.nn.Linear(1, 1)).save(os.path.join(FOLDER, "script.pth"))
