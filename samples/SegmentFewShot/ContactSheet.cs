using Microsoft.ML.Data;
using SkiaSharp;

namespace SegmentFewShot;

/// <summary>Draws episodes, one a row: support, query, truth, the baseline's mask and the model's, masks laid over the scene.</summary>
internal static class ContactSheet
{
    private const int Scale = 2, Gap = 4;

    private static readonly SKColor Support = new(255, 190, 0), Truth = new(0, 210, 0), Predicted = new(255, 0, 120);

    public static void Save(IReadOnlyList<(EpisodeSet Set, int Query, byte[] Baseline, byte[] Model)> episodes, string path)
    {
        var size = episodes[0].Set.Queries[0].Image.Width * Scale;
        using var sheet = new SKBitmap((5 * (size + Gap)) - Gap, (episodes.Count * (size + Gap)) - Gap);
        using var canvas = new SKCanvas(sheet);
        canvas.Clear(SKColors.White);
        for (var row = 0; row < episodes.Count; row++)
        {
            var (set, number, baseline, model) = episodes[row];
            var (support, query) = (set.Supports[0], set.Queries[number]);
            Draw(0, support.Image, support.Only(set.Class), Support);
            Draw(1, query.Image, null, default);
            Draw(2, query.Image, query.Only(set.Class), Truth);
            Draw(3, query.Image, baseline, Predicted);
            Draw(4, query.Image, model, Predicted);

            void Draw(int column, MLImage image, byte[]? mask, SKColor colour)
            {
                using var overlaid = Overlay(image, mask, colour);
                canvas.DrawBitmap(overlaid, SKRect.Create(column * (size + Gap), row * (size + Gap), size, size));
            }
        }
        canvas.Flush();
        using var file = File.Create(path);
        sheet.Encode(file, SKEncodedImageFormat.Png, quality: 100);
    }

    // The colour at half strength within the mask, in full on its edge.
    private static SKBitmap Overlay(MLImage image, byte[]? mask, SKColor colour)
    {
        var bitmap = new SKBitmap(image.Width, image.Height);
        var pixels = image.Pixels;
        for (var i = 0; i < image.Width * image.Height; i++)
        {
            var pixel = new SKColor(pixels[4 * i], pixels[(4 * i) + 1], pixels[(4 * i) + 2]);
            if (mask?[i] == 1)
                pixel = IsEdge(mask, i, image.Width) ? colour : Blend(pixel, colour);
            bitmap.SetPixel(i % image.Width, i / image.Width, pixel);
        }
        return bitmap;
    }

    private static bool IsEdge(byte[] mask, int index, int width) =>
        index % width == 0 || mask[index - 1] == 0 || (index + 1) % width == 0 || mask[index + 1] == 0
        || index < width || mask[index - width] == 0 || index + width >= mask.Length || mask[index + width] == 0;

    private static SKColor Blend(SKColor first, SKColor second) =>
        new((byte)((first.Red + second.Red) / 2), (byte)((first.Green + second.Green) / 2), (byte)((first.Blue + second.Blue) / 2));
}
