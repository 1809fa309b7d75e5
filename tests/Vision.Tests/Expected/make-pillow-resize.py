#!/usr/bin/python3
"""Writes pillow-resize.tsv: what Pillow makes of noise pictures, for AntialiasedResizeTests.

Run with Debian's python3-pil (made with Pillow 9.4.0). A line is: filter, source size, source crop, resized size, window of the
result, then the window's RGB bytes in base64, or their SHA-256 where they are many.
"""
import base64, hashlib, pathlib
from PIL import Image
from noise import noise

FILTERS = {"Box": Image.BOX, "Bilinear": Image.BILINEAR, "Hamming": Image.HAMMING, "Bicubic": Image.BICUBIC, "Lanczos": Image.LANCZOS}

# (source size, crop of it or None, resized size, window of the result or None)
CASES = [
    ((1, 1), None, (1, 1), None),
    ((1, 1), None, (5, 3), None),
    ((7, 5), None, (1, 1), None),
    ((1, 9), None, (4, 4), None),
    ((9, 1), None, (4, 4), None),
    ((2, 2), None, (7, 3), None),
    ((13, 11), None, (13, 11), None),
    ((13, 11), None, (13, 5), None),
    ((13, 11), None, (6, 11), None),
    ((17, 23), None, (11, 7), None),
    ((28, 28), None, (32, 32), (3, 2, 9, 11)),
    ((31, 19), None, (12, 37), None),
    ((37, 29), (5, 3, 21, 17), (10, 13), None),
    ((37, 29), (1, 2, 3, 25), (9, 8), None),
    ((41, 33), None, (20, 16), (3, 5, 11, 7)),
    ((101, 3), None, (4, 2), None),
    ((301, 217), None, (35, 25), None),
    ((500, 375), None, (341, 256), (58, 16, 224, 224)),
    ((97, 131), None, (256, 345), (16, 60, 224, 224)),
    ((333, 251), (17, 31, 200, 150), (224, 224), None),
]

lines = []
for name, resample in FILTERS.items():
    for size, crop, resized, window in CASES:
        crop = crop or (0, 0, *size)
        window = window or (0, 0, *resized)
        box = lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3])
        result = noise(*size).crop(box(crop)).resize(resized, resample).crop(box(window)).tobytes()
        value = base64.b64encode(result) if len(result) <= 1000 else hashlib.sha256(result).hexdigest().encode()
        lines.append("\t".join([name, *(",".join(map(str, part)) for part in (size, crop, resized, window)), value.decode()]))

pathlib.Path(__file__).with_name("pillow-resize.tsv").write_text("\n".join(lines) + "\n")
