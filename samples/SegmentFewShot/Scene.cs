using Microsoft.ML.Data;
using SkiaSharp;

namespace SegmentFewShot;

/// <summary>A scene with an exact label for each pixel: 0 for the background, the class from 1 for a garment.</summary>
internal sealed class Scene
{
    /// <summary>The share of the scene's pixels that a class covers where it is asked for.</summary>
    private const double LeastShare = 0.02;

    public required MLImage Image { get; init; }

    public required MLImage Mask { get; init; }

    /// <summary>The pixels that have to be seen of a class for it to be asked for.</summary>
    public static int LeastArea(int size) => (int)(LeastShare * size * size);

    /// <summary>The mask of one class: 1 and 0.</summary>
    public byte[] Only(int number)
    {
        var pixels = Mask.Pixels;
        var mask = new byte[Mask.Width * Mask.Height];
        for (var i = 0; i < mask.Length; i++)
            mask[i] = (byte)(pixels[4 * i] == number + 1 ? 1 : 0);
        return mask;
    }

    /// <summary>The mask of one class as a picture, white on black.</summary>
    public MLImage OnlyAsImage(int number)
    {
        var mask = Only(number);
        var pixels = new byte[4 * mask.Length];
        for (var i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)(i % 4 == 3 ? 255 : 255 * mask[i / 4]);
        return MLImage.CreateFromPixels(Mask.Width, Mask.Height, MLPixelFormat.Rgba32, pixels);
    }

    /// <summary>Composes scenes until one shows a class well.</summary>
    public static Scene With(int number, IReadOnlyList<int> others, Garments garments, int size, Random random)
    {
        while (true)
        {
            var distractors = Enumerable.Range(0, random.Next(1, 4)).Select(_ => others[random.Next(others.Count)]);
            var scene = Compose([number, .. distractors], garments, size, random);
            if (scene.Only(number).Count(label => label == 1) >= LeastArea(size))
                return scene;
        }
    }

    /// <summary>Composes a scene of one garment of each given class over a background, in any order; they may hide each other in part.</summary>
    public static Scene Compose(IReadOnlyList<int> classes, Garments garments, int size, Random random)
    {
        using var bitmap = new SKBitmap(size, size, SKColorType.Rgba8888, SKAlphaType.Opaque);
        using var canvas = new SKCanvas(bitmap);
        Background.Draw(canvas, size, random);
        var labels = new byte[4 * size * size];
        for (var i = 3; i < labels.Length; i += 4)
            labels[i] = 255;
        int[] order = [.. classes];
        random.Shuffle(order);
        foreach (var number in order)
            DrawGarment(canvas, labels, number, garments.Draw(number, random), size, random);
        Background.Light(canvas, size, random);
        canvas.Flush();
        var pixels = bitmap.Bytes;
        var noise = 1 + (6 * random.NextSingle());
        for (var i = 0; i < pixels.Length; i++)
            pixels[i] = i % 4 == 3 ? (byte)255 : (byte)Math.Clamp(pixels[i] + ((random.NextSingle() - 0.5f) * noise), 0, 255);
        return new()
        {
            Image = MLImage.CreateFromPixels(size, size, MLPixelFormat.Rgba32, pixels),
            Mask = MLImage.CreateFromPixels(size, size, MLPixelFormat.Rgba32, labels),
        };
    }

    // A garment is bright on black: its brightness is opacity and shade. Its label is where it is more than half opaque.
    private static void DrawGarment(SKCanvas canvas, byte[] labels, int number, byte[] grey, int size, Random random)
    {
        using var dyed = new SKBitmap(Garments.Side, Garments.Side, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        var colour = SKColor.FromHsv(random.Next(360), random.Next(90), 45 + random.Next(56));
        for (var i = 0; i < grey.Length; i++)
        {
            var shade = 0.25f + (0.75f * grey[i] / 255);
            dyed.SetPixel(i % Garments.Side, i / Garments.Side, new SKColor(
                (byte)(colour.Red * shade), (byte)(colour.Green * shade), (byte)(colour.Blue * shade), (byte)Math.Min(255, 6 * grey[i])));
        }
        using var layer = new SKBitmap(size, size, SKColorType.Rgba8888, SKAlphaType.Premul);
        using var layerCanvas = new SKCanvas(layer);
        layerCanvas.Clear(SKColors.Transparent);
        var side = size * (0.35f + (0.3f * random.NextSingle()));
        var (x, y) = (size * (0.15f + (0.7f * random.NextSingle())), size * (0.15f + (0.7f * random.NextSingle())));
        layerCanvas.Translate(x, y);
        layerCanvas.RotateDegrees(random.Next(-40, 41));
        layerCanvas.Scale(random.Next(2) == 0 ? 1 : -1, 1);
        using var smooth = new SKPaint { FilterQuality = SKFilterQuality.High };
        layerCanvas.DrawBitmap(dyed, SKRect.Create(-side / 2, -side / 2, side, side), smooth);
        layerCanvas.Flush();
        canvas.DrawBitmap(layer, 0, 0);
        var opacity = layer.Bytes;
        for (var i = 0; i < size * size; i++)
        {
            if (opacity[(4 * i) + 3] > 127)
                labels.AsSpan(4 * i, 3).Fill((byte)(number + 1));
        }
    }
}
