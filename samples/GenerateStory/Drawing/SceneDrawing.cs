using SkiaSharp;

namespace GenerateStory.Drawing;

/// <summary>Draws the place that a picture is set in, on 128 x 128 units with the ground at about 95.</summary>
internal sealed class SceneDrawing(Pen pen, Random random)
{
    private const float Horizon = 84;

    public void Draw(Scene scene)
    {
        switch (scene)
        {
            case Scene.Beach:
                Sky(new(0x7C, 0xC8, 0xF2), new(0xD8, 0xF1, 0xFB));
                Sun(new(0xFF, 0xE0, 0x66));
                pen.Strip(62, Horizon, new(0x1F, 0x8F, 0xC4), new(0x5F, 0xC9, 0xDE));
                Ground(new(0xF7, 0xE0, 0xA3), new(0xE9, 0xC6, 0x7B));
                Palm(random.Next(2) == 0 ? Between(6, 18) : Between(110, 122));
                break;
            case Scene.Forest:
                Sky(new(0xA9, 0xDB, 0xB8), new(0xE4, 0xF4, 0xDC));
                Ground(new(0x5E, 0x8F, 0x3F), new(0x44, 0x70, 0x2E));
                for (var i = 0; i < 5; i++)
                    Fir((i * 27) + Between(2, 18), Between(80, 92), Between(0.9f, 1.3f), new(0x2F, 0x73, 0x46));
                break;
            case Scene.Street:
                Sky(new(0xB9, 0xD4, 0xE8), new(0xF2, 0xE9, 0xDC));
                SKColor[] walls = [new(0xD9, 0x8C, 0x6A), new(0xC9, 0xB1, 0x7E), new(0x8F, 0xA9, 0xB8), new(0xB7, 0x86, 0x9E)];
                random.Shuffle(walls);
                for (var i = 0; i < 4; i++)
                    House((i * 33) - 2, Between(18, 44), walls[i]);
                Ground(new(0x8C, 0x8F, 0x99), new(0x6F, 0x72, 0x7D));
                for (var x = Between(-10, 10); x < 128; x += 30)
                    pen.Box(x, 110, x + 15, 113, new(0xF0, 0xEC, 0xDC), outlined: false);
                break;
            case Scene.Night:
                Sky(new(0x12, 0x17, 0x45), new(0x3C, 0x3F, 0x80));
                for (var i = 0; i < 14; i++)
                    pen.Oval(Between(2, 126), Between(3, 72), 1.1f, 1.1f, new(0xFF, 0xF6, 0xC8), outlined: false);
                var moon = Between(14, 114);
                pen.Oval(moon, 18, 10, 10, new(0xFB, 0xF1, 0xB8), outlined: false);
                pen.Oval(moon + 4, 16, 8, 8, new(0x1B, 0x20, 0x50), outlined: false);
                Ground(new(0x2C, 0x4A, 0x52), new(0x1C, 0x31, 0x3C));
                break;
            case Scene.Snow:
                Sky(new(0xA8, 0xC4, 0xDE), new(0xE6, 0xEF, 0xF7));
                for (var i = 0; i < 3; i++)
                    Fir((i * 46) + Between(0, 30), 86, Between(0.7f, 1), new(0x5B, 0x8B, 0x8B));
                Ground(new(0xFA, 0xFC, 0xFF), new(0xD6, 0xE4, 0xF2));
                for (var i = 0; i < 18; i++)
                    pen.Oval(Between(2, 126), Between(2, 120), 1.5f, 1.5f, SKColors.White, outlined: false);
                break;
            case Scene.Kitchen:
                pen.Strip(0, 128, new(0xF6, 0xDD, 0xB5), new(0xEF, 0xCB, 0x98));
                var window = random.Next(2) == 0 ? Between(6, 12) : Between(82, 88);
                pen.Box(window, 12, window + 34, 46, new(0xBF, 0xE6, 0xF5));
                pen.Line((window + 17, 12), (window + 17, 46), 2.4f, new(0x8C, 0x6E, 0x56));
                var shelf = window < 60 ? 80 : 8;
                pen.Box(shelf, 14, shelf + 40, 38, new(0xB8, 0x7A, 0x4B));
                pen.Line((shelf + 20, 14), (shelf + 20, 38), 1.6f, new(0x70, 0x48, 0x2C));
                pen.Box(-4, 62, 132, 100, new(0x6F, 0xB1, 0xA6));
                pen.Box(-4, 57, 132, 64, new(0xF4, 0xEF, 0xE6));
                for (var x = 16; x < 128; x += 32)
                    pen.Line((x, 66), (x, 92), 1.6f, new(0x47, 0x7F, 0x78));
                for (var row = 0; row < 3; row++)
                {
                    for (var i = 0; i < 8; i++)
                        pen.Box(i * 16, 92 + (row * 12), (i + 1) * 16, 104 + (row * 12), Tile(i + row), outlined: false);
                }
                break;
            case Scene.Meadow:
                Sky(new(0x8E, 0xCF, 0xF5), new(0xE3, 0xF5, 0xFC));
                Cloud(Between(12, 50), Between(12, 26));
                Cloud(Between(76, 114), Between(10, 30));
                pen.Oval(Between(10, 50), 92, 60, 22, new(0x9B, 0xD0, 0x6B), outlined: false);
                pen.Oval(Between(80, 120), 94, 60, 20, new(0x8A, 0xC4, 0x5D), outlined: false);
                Ground(new(0x7D, 0xBE, 0x50), new(0x5F, 0xA0, 0x3C));
                for (var i = 0; i < 10; i++)
                {
                    var petals = random.Next(2) == 0 ? SKColors.White : new(0xFF, 0xDD, 0x55);
                    pen.Oval(Between(3, 125), Between(90, 124), 1.8f, 1.8f, petals, outlined: false);
                }
                break;
            default:
                Sky(new(0xF9, 0xB2, 0x6B), new(0xFD, 0xE6, 0xB4));
                Sun(new(0xFF, 0xF3, 0xC4));
                pen.Oval(Between(0, 50), 92, 56, 24, new(0xDE, 0x9A, 0x58), outlined: false);
                pen.Oval(Between(80, 128), 94, 52, 20, new(0xD2, 0x8A, 0x4A), outlined: false);
                Ground(new(0xEB, 0xB5, 0x6E), new(0xD8, 0x98, 0x50));
                Cactus(random.Next(2) == 0 ? Between(8, 20) : Between(108, 120));
                break;
        }
    }

    private void Sky(SKColor top, SKColor bottom) => pen.Strip(0, Horizon + 6, top, bottom);

    private void Ground(SKColor top, SKColor bottom) => pen.Strip(Horizon, 128, top, bottom);

    private void Sun(SKColor colour) => pen.Oval(Between(12, 116), Between(14, 24), 9, 9, colour, outlined: false);

    private void Cloud(float x, float y)
    {
        pen.Oval(x, y, 13, 5.5f, SKColors.White, outlined: false);
        pen.Oval(x - 4, y - 4, 7, 6, SKColors.White, outlined: false);
        pen.Oval(x + 5, y - 3, 6, 5, SKColors.White, outlined: false);
    }

    private void Palm(float x)
    {
        pen.Limb((x, 92), (x + 3, 44), 5, new(0x9C, 0x6B, 0x3F));
        foreach (var angle in (int[])[-150, -115, -65, -30, 10, 170])
        {
            var (sine, cosine) = MathF.SinCos(angle * MathF.PI / 180);
            pen.Oval(x + 3 + (11 * cosine), 44 + (8 * sine), 12, 3.6f, new(0x3C, 0x9A, 0x52), angle);
        }
    }

    private void Fir(float x, float y, float size, SKColor colour)
    {
        pen.Box(x - (2.5f * size), y - (10 * size), x + (2.5f * size), y, new(0x6B, 0x4A, 0x33), outlined: false);
        for (var i = 0; i < 3; i++)
        {
            var (bottom, width) = (y - ((8 + (15 * i)) * size), (16 - (4 * i)) * size);
            pen.Polygon(colour, true, (x - width, bottom), (x + width, bottom), (x, bottom - (22 * size)));
        }
    }

    private void House(float x, float top, SKColor wall)
    {
        pen.Box(x, top, x + 32, 90, wall);
        for (var row = 0; row < 3; row++)
        {
            for (var column = 0; column < 2; column++)
            {
                var (left, up) = (x + 5 + (column * 13), top + 7 + (row * 16));
                pen.Box(left, up, left + 9, up + 10, new(0xF8, 0xEC, 0xB0), outlined: false);
            }
        }
    }

    private void Cactus(float x)
    {
        var green = new SKColor(0x4E, 0x9A, 0x5A);
        pen.Limb((x - 9, 66), (x - 9, 58), 5, green);
        pen.Limb((x - 9, 68), (x, 68), 5, green);
        pen.Limb((x + 9, 60), (x + 9, 50), 5, green);
        pen.Limb((x + 9, 62), (x, 62), 5, green);
        pen.Limb((x, 92), (x, 46), 8, green);
    }

    private static SKColor Tile(int index) => index % 2 == 0 ? new(0xE3, 0xD3, 0xC2) : new(0xC8, 0xB0, 0x9C);

    private float Between(float from, float to) => from + ((to - from) * random.NextSingle());
}
