using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>An object to draw.</summary>
/// <param name="Label">Its class.</param>
/// <param name="Score">How sure the detector is, in [0, 1]; null for an object of the annotations.</param>
/// <param name="Left">The left edge in pixels of the picture.</param>
/// <param name="Top">The upper edge in pixels of the picture.</param>
/// <param name="Right">The right edge in pixels of the picture.</param>
/// <param name="Bottom">The lower edge in pixels of the picture.</param>
public sealed record DrawnObject(string Label, float? Score, float Left, float Top, float Right, float Bottom)
{
    /// <summary>The objects in the columns of a detector or of annotations.</summary>
    /// <param name="boxes">Four numbers each.</param>
    /// <param name="labels">Their classes.</param>
    /// <param name="scores">How sure the detector is of each; empty for annotations.</param>
    public static IReadOnlyList<DrawnObject> From(
        IReadOnlyList<float> boxes, IReadOnlyList<string> labels, IReadOnlyList<float> scores) =>
    [
        .. labels.Select((label, i) => new DrawnObject(
            label, scores.Count > 0 ? scores[i] : null, boxes[4 * i], boxes[(4 * i) + 1], boxes[(4 * i) + 2], boxes[(4 * i) + 3])),
    ];
}

/// <summary>Draws pictures with the boxes of the objects in them, each class in a colour of its own.</summary>
public static class DetectedObjects
{
    private const int Margin = 6;

    private static readonly SKColor[] Colours =
    [
        new(0xE6, 0x00, 0x4D), new(0x00, 0x6E, 0xDB), new(0x00, 0x92, 0x46), new(0xB8, 0x6E, 0x00), new(0x7D, 0x3C, 0xC8),
        new(0x00, 0x8F, 0x9C), new(0xC0, 0x28, 0xA0), new(0x5A, 0x6B, 0x00),
    ];

    /// <summary>Draws pictures side by side into a PNG file.</summary>
    /// <param name="pictures">The pictures' paths with the objects in each; a picture that cannot be read is left blank.</param>
    /// <param name="path">The file to write.</param>
    /// <param name="columns">Pictures in a row.</param>
    /// <param name="width">The width of each in pixels.</param>
    public static void Save(
        IReadOnlyList<(string ImagePath, IReadOnlyList<DrawnObject> Objects)> pictures, string path, int columns = 3, int width = 420)
    {
        ArgumentNullException.ThrowIfNull(pictures);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        var classes = pictures.SelectMany(picture => picture.Objects).Select(found => found.Label).Distinct()
            .Order(StringComparer.Ordinal).ToList();
        var height = width * 3 / 4;
        var rows = Math.Max(1, (pictures.Count + columns - 1) / columns);
        columns = Math.Clamp(pictures.Count, 1, columns);
        using var surface = SKSurface.Create(new SKImageInfo((columns * (width + Margin)) + Margin, (rows * (height + Margin)) + Margin));
        surface.Canvas.Clear(SKColors.White);
        for (var i = 0; i < pictures.Count; i++)
        {
            var cell = SKRect.Create(Margin + (i % columns * (width + Margin)), Margin + (i / columns * (height + Margin)), width, height);
            Draw(surface.Canvas, pictures[i].ImagePath, pictures[i].Objects, cell, classes);
        }
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private static void Draw(SKCanvas canvas, string path, IReadOnlyList<DrawnObject> objects, SKRect cell, List<string> classes)
    {
        using var picture = SKBitmap.Decode(path);
        if (picture is null)
            return;
        var place = cell.AspectFit(new SKSize(picture.Width, picture.Height));
        var scale = place.Width / picture.Width;
        using (var smooth = new SKPaint { FilterQuality = SKFilterQuality.Medium })
            canvas.DrawBitmap(picture, place, smooth);
        // The surest last, on top of the others.
        foreach (var found in objects.OrderBy(found => found.Score ?? 1))
        {
            var colour = Colours[classes.IndexOf(found.Label) % Colours.Length];
            using var pen = new SKPaint { Color = colour, IsStroke = true, StrokeWidth = 2, IsAntialias = true };
            var box = new SKRect(
                place.Left + (found.Left * scale), place.Top + (found.Top * scale),
                place.Left + (found.Right * scale), place.Top + (found.Bottom * scale));
            canvas.DrawRect(box, pen);
            var text = found.Score is { } score
                ? string.Create(CultureInfo.InvariantCulture, $"{found.Label} {score:0.00}") : found.Label;
            const float Size = 7;
            using var ground = new SKPaint { Color = SKColors.White.WithAlpha(200) };
            canvas.DrawRect(SKRect.Create(box.Left, box.Top, StrokeFont.Width(text, Size) + 4, Size + 4), ground);
            StrokeFont.Draw(canvas, text, box.Left + 2, box.Top + Size + 2, Size, colour);
        }
    }
}
