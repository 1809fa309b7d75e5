#!/usr/bin/python3
"""Makes fashion-mnist/{train,test}/CLASS.png from Debian's package dataset-fashion-mnist: the first 400 training and 100 test pictures
of each class in the order of the original files, 28 x 28 pixels each, laid row by row on one sheet 20 (10) pictures wide.

Run with Debian's python3-pil and python3-numpy; the result is the same on every run.
"""
import gzip, pathlib
import numpy
from PIL import Image

SOURCE = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
SIDE = 28

for split, prefix, rows, columns in [("train", "train", 20, 20), ("test", "t10k", 10, 10)]:
    pixels = gzip.decompress((SOURCE / f"{prefix}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((SOURCE / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())[8:]
    pictures = numpy.frombuffer(pixels, numpy.uint8).reshape(-1, SIDE, SIDE)
    folder = pathlib.Path(__file__).parent / "fashion-mnist" / split
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CLASSES):
        chosen = pictures[numpy.frombuffer(labels, numpy.uint8) == number][: rows * columns]
        sheet = chosen.reshape(rows, columns, SIDE, SIDE).swapaxes(1, 2).reshape(rows * SIDE, columns * SIDE)
        Image.fromarray(sheet).save(folder / f"{name}.png", optimize=True)
