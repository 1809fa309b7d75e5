using Samples.Data;
using SkiaSharp;

namespace EnhanceLowLight;

/// <summary>Draws pictures in normal light: clothes of Fashion-MNIST, dyed, among shapes on a wall with a texture.</summary>
internal static class Scenes
{
    private const int Width = 192;
    private const int Height = 144;

    /// <summary>Draws training and test pictures; clothes of the test pictures are in no training picture.</summary>
    public static (string[] Train, string[] Test) Draw(string folder, int trainCount, int testCount)
    {
        var clothes = Path.Combine(folder, "clothes");
        ContactSheets.Unpack(Path.Combine(AppContext.BaseDirectory, "fashion-mnist"), clothes);
        return (Draw("train", trainCount, firstSeed: 0), Draw("test", testCount, firstSeed: 1_000_000));

        string[] Draw(string split, int count, int firstSeed)
        {
            var files = Directory.GetFiles(Path.Combine(clothes, split), "*.png", SearchOption.AllDirectories);
            Array.Sort(files, StringComparer.Ordinal);
            var target = Directory.CreateDirectory(Path.Combine(folder, split)).FullName;
            return [.. Enumerable.Range(0, count).Select(i => DrawScene(Path.Combine(target, $"{i:000}.png"), files, firstSeed + i))];
        }
    }

    private static string DrawScene(string path, string[] clothes, int seed)
    {
        var random = new Random(seed);
        using var bitmap = new SKBitmap(Width, Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        using var canvas = new SKCanvas(bitmap);
        DrawWall(canvas, random);
        for (var i = random.Next(4, 9); i > 0; i--)
            DrawShape(canvas, random);
        for (var i = random.Next(3, 7); i > 0; i--)
            DrawGarment(canvas, random, clothes[random.Next(clothes.Length)]);
        canvas.Flush();
        using var file = File.Create(path);
        bitmap.Encode(file, SKEncodedImageFormat.Png, 100);
        return path;
    }

    private static void DrawWall(SKCanvas canvas, Random random)
    {
        using var light = SKShader.CreateLinearGradient(
            Place(random), Place(random), [Colour(random), Colour(random)], SKShaderTileMode.Mirror);
        using var paint = new SKPaint { Shader = light };
        canvas.DrawPaint(paint);
        using var grain = SKShader.CreatePerlinNoiseFractalNoise(
            0.02f + (0.1f * random.NextSingle()), 0.02f + (0.1f * random.NextSingle()), 3, random.Next(1000));
        using var texture = new SKPaint { Shader = grain, BlendMode = SKBlendMode.SoftLight };
        canvas.DrawPaint(texture);
    }

    private static void DrawShape(SKCanvas canvas, Random random)
    {
        var (place, size) = (Place(random), 10 + (50 * random.NextSingle()));
        using var shade = SKShader.CreateLinearGradient(
            place, place + new SKPoint(size, size), [Colour(random), Colour(random)], SKShaderTileMode.Clamp);
        using var paint = new SKPaint { Shader = shade, IsAntialias = true };
        canvas.Save();
        canvas.RotateDegrees(random.Next(360), place.X, place.Y);
        if (random.Next(2) == 0)
            canvas.DrawOval(place.X, place.Y, size, size * (0.4f + (0.6f * random.NextSingle())), paint);
        else
            canvas.DrawRoundRect(place.X, place.Y, size, size * (0.3f + random.NextSingle()), 4, 4, paint);
        canvas.Restore();
    }

    // A garment is bright on black: its brightness is opacity and shade.
    private static void DrawGarment(SKCanvas canvas, Random random, string file)
    {
        using var grey = SKBitmap.Decode(file);
        using var dyed = new SKBitmap(grey.Width, grey.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        var colour = Colour(random);
        for (var i = 0; i < grey.Width * grey.Height; i++)
        {
            var level = grey.GetPixel(i % grey.Width, i / grey.Width).Red;
            dyed.SetPixel(i % grey.Width, i / grey.Width, new SKColor(
                (byte)(colour.Red * level / 255), (byte)(colour.Green * level / 255), (byte)(colour.Blue * level / 255),
                (byte)Math.Min(255, 4 * level)));
        }
        var (place, size) = (Place(random), 40 + (60 * random.NextSingle()));
        using var paint = new SKPaint { FilterQuality = SKFilterQuality.High };
        canvas.DrawBitmap(dyed, SKRect.Create(place.X - (size / 2), place.Y - (size / 2), size, size), paint);
    }

    private static SKPoint Place(Random random) => new(random.Next(Width), random.Next(Height));

    private static SKColor Colour(Random random) => SKColor.FromHsv(random.Next(360), random.Next(90), 35 + random.Next(66));
}
