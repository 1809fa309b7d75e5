using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>A picture and what a classifier made of it.</summary>
/// <param name="ImagePath">The picture's file.</param>
/// <param name="PredictedLabel">The predicted label.</param>
/// <param name="Probability">The predicted label's probability, in [0, 1].</param>
/// <param name="Label">The true label, or null where it is not known.</param>
public sealed record ScoredExample(string ImagePath, string PredictedLabel, float Probability, string? Label = null);

/// <summary>Draws scored pictures on a sheet, each with its predicted label and probability; wrong ones are framed in red.</summary>
public static class ScoredExamples
{
    private const int Side = 112, Margin = 10, CellWidth = Side + 3 * Margin, CellHeight = Side + 54;
    private static readonly SKColor Ink = new(0x33, 0x33, 0x33);
    private static readonly SKColor Right = new(0x2E, 0x7D, 0x32);
    private static readonly SKColor Wrong = new(0xC6, 0x28, 0x28);
    private static readonly SKColor Unknown = new(0x9E, 0x9E, 0x9E);

    /// <summary>Writes the sheet as a PNG. A file that is not a picture leaves its place crossed out.</summary>
    /// <param name="examples">The pictures, in the order of the sheet, row by row.</param>
    /// <param name="path">The file to write.</param>
    /// <param name="columns">Pictures in a row.</param>
    /// <exception cref="ArgumentException">There is no example.</exception>
    public static void Save(IReadOnlyList<ScoredExample> examples, string path, int columns = 8)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(columns);
        if (examples.Count == 0)
            throw new ArgumentException("A sheet needs at least one example.", nameof(examples));
        columns = Math.Min(columns, examples.Count);
        var rows = (examples.Count + columns - 1) / columns;
        using var surface = SKSurface.Create(new SKImageInfo(columns * CellWidth, rows * CellHeight + Margin, SKColorType.Rgba8888));
        surface.Canvas.Clear(SKColors.White);
        for (var i = 0; i < examples.Count; i++)
            Draw(surface.Canvas, examples[i], i % columns * CellWidth + 1.5f * Margin, i / columns * CellHeight + Margin);
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private static void Draw(SKCanvas canvas, ScoredExample example, float x, float y)
    {
        var colour = example.Label is null ? Unknown : example.Label == example.PredictedLabel ? Right : Wrong;
        var square = SKRect.Create(x, y, Side, Side);
        using var frame = new SKPaint { Color = colour, IsStroke = true, StrokeWidth = colour == Wrong ? 4 : 2, IsAntialias = true };
        using (var picture = SKBitmap.Decode(example.ImagePath))
        {
            if (picture is null)
            {
                canvas.DrawLine(square.Left, square.Top, square.Right, square.Bottom, frame);
                canvas.DrawLine(square.Left, square.Bottom, square.Right, square.Top, frame);
            }
            else
            {
                using var smooth = new SKPaint { FilterQuality = SKFilterQuality.Medium };
                canvas.DrawBitmap(picture, square.AspectFit(new SKSize(picture.Width, picture.Height)), smooth);
            }
        }
        canvas.DrawRect(square, frame);
        Text(canvas, example.PredictedLabel, x, y + Side + 16, colour);
        Text(canvas, example.Probability.ToString("0.0%", CultureInfo.InvariantCulture), x, y + Side + 30, Ink);
        if (colour == Wrong)
            Text(canvas, $"is {example.Label}", x, y + Side + 44, Wrong);
    }

    /// <summary>Writes a line as large as the cell allows, and cuts what would be too small to read.</summary>
    private static void Text(SKCanvas canvas, string text, float x, float baseline, SKColor colour)
    {
        const float Largest = 9, Smallest = 6;
        var size = Math.Clamp(Largest * (Side + Margin) / StrokeFont.Width(text, Largest), Smallest, Largest);
        while (StrokeFont.Width(text, size) > Side + 2 * Margin)
            text = text[..^3] + "..";
        StrokeFont.Draw(canvas, text, x, baseline, size, colour);
    }
}
