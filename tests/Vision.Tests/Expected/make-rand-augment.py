#!/usr/bin/python3
"""Writes rand-augment.tsv: what Pillow's operations, with the strengths of timm's rand-m9-mstd0.5-inc1, make of noise, for RandAugmentTests.

Run with Debian's python3-pil (made with Pillow 9.4.0). A line is: operation, filter, size, whether the noise is dark, strength in
[-1, 1], then the RGB bytes of the result in base64, or their SHA-256 where they are many.
"""
import base64, hashlib, pathlib
from PIL import Image, ImageEnhance, ImageOps
from noise import noise

FILL = (round(255 * 0.485), round(255 * 0.456), round(255 * 0.406))


def moved(matrix):
    return lambda image, strength, filter: image.transform(image.size, Image.AFFINE, matrix(strength, *image.size), filter, fillcolor=FILL)


def enhanced(enhancer):
    return lambda image, strength, _: enhancer(image).enhance(max(0.1, 1 + 0.9 * strength))


def solarize_add(image, strength, _):
    addition = min(128, int(abs(strength) * 110))
    return image.point([min(255, level + addition) if level < 128 else level for level in range(256)] * 3)


OPERATIONS = {
    "AutoContrast": lambda image, *_: ImageOps.autocontrast(image),
    "Equalize": lambda image, *_: ImageOps.equalize(image),
    "Invert": lambda image, *_: ImageOps.invert(image),
    "Rotate": lambda image, strength, filter: image.rotate(30 * strength, filter, fillcolor=FILL),
    "Posterize": lambda image, strength, _: ImageOps.posterize(image, 4 - int(4 * abs(strength))),
    "Solarize": lambda image, strength, _: ImageOps.solarize(image, 256 - min(256, int(256 * abs(strength)))),
    "SolarizeAdd": solarize_add,
    "Color": enhanced(ImageEnhance.Color),
    "Contrast": enhanced(ImageEnhance.Contrast),
    "Brightness": enhanced(ImageEnhance.Brightness),
    "Sharpness": enhanced(ImageEnhance.Sharpness),
    "ShearX": moved(lambda strength, *_: (1, 0.3 * strength, 0, 0, 1, 0)),
    "ShearY": moved(lambda strength, *_: (1, 0, 0, 0.3 * strength, 1, 0)),
    "TranslateX": moved(lambda strength, width, _: (1, 0, 0.45 * strength * width, 0, 1, 0)),
    "TranslateY": moved(lambda strength, _, height: (1, 0, 0, 0, 1, 0.45 * strength * height)),
}

lines = []
for name, operation in OPERATIONS.items():
    for filter in ("Bilinear", "Bicubic") if name[:3] in ("Rot", "She", "Tra") else ("Bilinear",):
        for size, dark, strength in (((9, 7), 0, 0.9), ((1, 1), 0, 0.7), ((33, 20), 1, -0.83), ((33, 20), 0, 0.08), ((64, 64), 1, 1), ((224, 160), 0, -1)):
            image = noise(*size)
            if dark:
                image = image.point([20 + level // 3 for level in range(256)] * 3)
            result = operation(image, strength, getattr(Image, filter.upper())).tobytes()
            value = base64.b64encode(result) if len(result) <= 300 else hashlib.sha256(result).hexdigest().encode()
            lines.append("\t".join([name, filter, f"{size[0]},{size[1]}", str(dark), repr(strength), value.decode()]))

pathlib.Path(__file__).with_name("rand-augment.tsv").write_text("\n".join(lines) + "\n")
