#!/usr/bin/python3
"""Writes pictures/* in the formats that ImageFile reads and pictures.tsv: name, width, height and RGB bytes in base64 as Pillow's
Image.open(name).convert("RGB") gives them. Run with Debian's python3-pil (made with Pillow 9.4.0)."""
import base64, pathlib
from PIL import Image

WIDTH, HEIGHT = 33, 21
folder = pathlib.Path(__file__).with_name("pictures")
folder.mkdir(exist_ok=True)

rgb = Image.new("RGB", (WIDTH, HEIGHT))
rgb.putdata([(x * 7, y * 12, (x * y) % 256) for y in range(HEIGHT) for x in range(WIDTH)])
grey = rgb.convert("L")
alpha = Image.new("L", (WIDTH, HEIGHT))
alpha.putdata([(x * 8 + y) % 256 for y in range(HEIGHT) for x in range(WIDTH)])
rgba = rgb.copy()
rgba.putalpha(alpha)
grey_alpha = Image.merge("LA", (grey, alpha))
rotated = Image.Exif()
rotated[0x0112] = 6  # Orientation: to be turned clockwise for viewing.

rgb.save(folder / "rgb.jpg", quality=90)
rgb.save(folder / "rgb-444-progressive.jpg", quality=90, subsampling=0, progressive=True)
rgb.save(folder / "rotated.jpg", quality=90, exif=rotated)
grey.save(folder / "grey.jpg", quality=90)
rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=90)
rgb.save(folder / "rgb.png")
rgba.save(folder / "rgba.png")
grey.save(folder / "grey.png")
grey_alpha.save(folder / "grey-alpha.png")
rgb.quantize(16).save(folder / "palette.png")
grey.convert("1").save(folder / "bilevel.png")
rgb.save(folder / "rgb.bmp")
rgb.quantize(16).save(folder / "palette.gif")
rgb.save(folder / "rgb.webp", lossless=True)

lines = []
for path in sorted(folder.iterdir()):
    picture = Image.open(path).convert("RGB")
    lines.append(f"{path.name}\t{picture.width}\t{picture.height}\t{base64.b64encode(picture.tobytes()).decode()}")
pathlib.Path(__file__).with_name("pictures.tsv").write_text("\n".join(lines) + "\n")
