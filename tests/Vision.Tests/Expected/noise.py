from PIL import Image


def noise(width, height):
    """A linear congruential generator's top byte; a quarter of the values are pushed to black or white so that sums clip."""
    state, values = width * 65537 + height, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        value = state >> 24
        values.append(0 if value < 32 else 255 if value >= 224 else value)
    return Image.frombytes("RGB", (width, height), bytes(values))
