using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>
/// Draws numbers as colours, a row for each name: white for 0, red above and blue below, such as what each variable added to a prediction
/// in each hour. It needs no installed font.
/// </summary>
public static class HeatMap
{
    private const int CellHeight = 18, Top = 40, Bottom = 40, Right = 30;
    private const float TextSize = 9;
    private static readonly SKColor Ink = new(0x33, 0x33, 0x33);
    private static readonly SKColor Above = new(0xB2, 0x18, 0x2B);
    private static readonly SKColor Below = new(0x21, 0x66, 0xAC);

    /// <summary>Writes a heat map as a PNG that is 960 pixels wide.</summary>
    /// <param name="title">What the numbers are, with their unit.</param>
    /// <param name="rows">The rows from top to bottom, each with its name and as many numbers as the others.</param>
    /// <param name="columnTitle">What the columns are, such as hours; they are numbered from 1.</param>
    /// <param name="path">The file to write.</param>
    /// <exception cref="ArgumentException">There is no row, or rows are not of one length.</exception>
    public static void Save(
        string title, IReadOnlyList<(string Name, IReadOnlyList<float> Values)> rows, string columnTitle, string path)
    {
        ArgumentNullException.ThrowIfNull(rows);
        if (rows.Count == 0 || rows[0].Values.Count == 0 || rows.Any(row => row.Values.Count != rows[0].Values.Count))
            throw new ArgumentException("A heat map has at least one row and one column, and its rows are of one length.", nameof(rows));
        const int Width = 960;
        var height = Top + (CellHeight * rows.Count) + Bottom;
        var left = 20 + rows.Max(row => StrokeFont.Width(row.Name, TextSize));
        var cellWidth = (Width - left - Right) / rows[0].Values.Count;
        var largest = rows.SelectMany(row => row.Values).Where(float.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max();
        using var surface = SKSurface.Create(new SKImageInfo(Width, height, SKColorType.Rgba8888));
        var canvas = surface.Canvas;
        canvas.Clear(SKColors.White);
        StrokeFont.Draw(
            canvas, string.Create(CultureInfo.InvariantCulture, $"{title}, from {-largest:0.##} (blue) to {largest:0.##} (red)"),
            left, 24, TextSize + 2, Ink);
        for (var i = 0; i < rows.Count; i++)
        {
            var top = Top + (CellHeight * i);
            StrokeFont.Draw(canvas, rows[i].Name, 10, top + 13, TextSize, Ink);
            for (var j = 0; j < rows[i].Values.Count; j++)
            {
                using var paint = new SKPaint { Color = Colour(rows[i].Values[j], largest) };
                canvas.DrawRect(left + (cellWidth * j), top, cellWidth, CellHeight - 1, paint);
            }
        }
        DrawNumbers(canvas, rows[0].Values.Count, left, cellWidth, height - 24, columnTitle);
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private static void DrawNumbers(SKCanvas canvas, int count, float left, float cellWidth, float baseline, string title)
    {
        var step = Math.Max(1, count / 12);
        for (var i = step; i <= count; i += step)
        {
            var text = i.ToString(CultureInfo.InvariantCulture);
            StrokeFont.Draw(
                canvas, text, left + (cellWidth * (i - 0.5f)) - (StrokeFont.Width(text, TextSize) / 2), baseline, TextSize, Ink);
        }
        StrokeFont.Draw(canvas, title, left, baseline + 16, TextSize, Ink);
    }

    // A value that is not a number is grey.
    private static SKColor Colour(float value, float largest)
    {
        if (!float.IsFinite(value))
            return new(0xBB, 0xBB, 0xBB);
        var (end, share) = (value < 0 ? Below : Above, largest == 0 ? 0 : Math.Abs(value) / largest);
        return new(Mix(end.Red), Mix(end.Green), Mix(end.Blue));

        byte Mix(byte channel) => (byte)MathF.Round(255 + (share * (channel - 255)));
    }
}
