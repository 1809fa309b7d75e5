#!/usr/bin/python3
"""Writes preprocessing.tsv: SHA-256 of the float planes that published evaluations make of noise pictures (Pillow's resize, then
float32 arithmetic as torchvision does it). Run with Debian's python3-pil and python3-numpy (made with Pillow 9.4.0)."""
import hashlib, pathlib
import numpy
from PIL import Image
from noise import noise

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32).reshape(3, 1, 1)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32).reshape(3, 1, 1)


def planes(picture, size, shorter_side):
    width, height = picture.size
    if shorter_side is None:
        picture = picture.resize((size, size), Image.BICUBIC)
    else:
        short, long = min(width, height), max(width, height)
        scaled = int(shorter_side * long / short)
        picture = picture.resize((shorter_side, scaled) if width <= height else (scaled, shorter_side), Image.BICUBIC)
        left, top = (int(round((side - size) / 2.0)) for side in picture.size)
        picture = picture.crop((left, top, left + size, top + size))
    values = numpy.asarray(picture).transpose(2, 0, 1).astype(numpy.float32) / numpy.float32(255)
    return (values - MEAN) / STD


lines = []
for width, height, size, shorter_side in [(500, 375, 224, 256), (375, 501, 224, 256), (57, 40, 32, 36), (28, 28, 32, None), (91, 33, 48, None), (225, 224, 64, 64)]:
    digest = hashlib.sha256(planes(noise(width, height), size, shorter_side).tobytes()).hexdigest()
    lines.append(f"{width}\t{height}\t{size}\t{shorter_side or 0}\t{digest}")
pathlib.Path(__file__).with_name("preprocessing.tsv").write_text("\n".join(lines) + "\n")
