using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>A chart of lines with a legend. It needs no installed font.</summary>
public sealed class LineChart
{
    private const int Width = 960;
    private const float Left = 80, Right = Width - 40, TextSize = 10, LegendSize = 12;
    private static readonly SKColor Ink = new(0x33, 0x33, 0x33);
    private static readonly SKColor Grid = new(0xE4, 0xE4, 0xE4);

    private static readonly SKColor[] Palette =
    [
        new(0x1F, 0x5F, 0xA8), new(0xC2, 0x5B, 0x12), new(0x4E, 0x8A, 0x3E), new(0x8B, 0x4F, 0x9F), new(0xB0, 0x3A, 0x48),
        new(0x2A, 0x8C, 0x8C), new(0x7A, 0x62, 0x2E), new(0x5B, 0x5B, 0x6E),
    ];

    /// <summary>The horizontal axis.</summary>
    public required ChartAxis X { get; init; }

    /// <summary>The vertical axis.</summary>
    public required ChartAxis Y { get; init; }

    /// <summary>The lines. Names get colours in the order of their first line.</summary>
    public required IReadOnlyList<ChartLine> Lines { get; init; }

    /// <summary>The height of the chart in pixels.</summary>
    public int Height { get; init; } = 420;

    /// <summary>Writes charts, one below the other, as a PNG that is 960 pixels wide.</summary>
    /// <param name="charts">The charts, at least one.</param>
    /// <param name="path">The file to write.</param>
    /// <exception cref="ArgumentException">There is no chart, or an axis does not end above its beginning.</exception>
    public static void Save(IReadOnlyList<LineChart> charts, string path)
    {
        if (charts.Count == 0)
            throw new ArgumentException("There is no chart to write.", nameof(charts));
        using var surface = SKSurface.Create(new SKImageInfo(Width, charts.Sum(chart => chart.Height), SKColorType.Rgba8888));
        surface.Canvas.Clear(SKColors.White);
        foreach (var chart in charts)
        {
            chart.Draw(surface.Canvas);
            surface.Canvas.Translate(0, chart.Height);
        }
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private void Draw(SKCanvas canvas)
    {
        X.Validate();
        Y.Validate();
        var names = Lines.Select(line => line.Name).Distinct().ToArray();
        var colours = names.Index().ToDictionary(entry => entry.Item, entry => Palette[entry.Index % Palette.Length]);
        var legendEnd = DrawLegend(canvas, names, colours);
        var area = new SKRect(Left, legendEnd + 20, Right, Height - 60);
        DrawAxes(canvas, area);
        foreach (var line in Lines.OrderBy(line => line.Emphasis == LineEmphasis.Strong))
            DrawLine(canvas, area, line, colours[line.Name]);
    }

    /// <summary>Writes names in their colours, in as many rows as they need, and returns the baseline of the last.</summary>
    private static float DrawLegend(SKCanvas canvas, string[] names, Dictionary<string, SKColor> colours)
    {
        var (x, y) = (Left, 30f);
        foreach (var name in names)
        {
            var width = StrokeFont.Width(name, LegendSize);
            if (x > Left && x + width > Right)
                (x, y) = (Left, y + 2 * LegendSize);
            StrokeFont.Draw(canvas, name, x, y, LegendSize, colours[name]);
            x += width + 2 * LegendSize;
        }
        return y;
    }

    private void DrawAxes(SKCanvas canvas, SKRect area)
    {
        foreach (var tick in Y.VisibleTicks())
        {
            var y = Place(area, X.From, tick).Y;
            Stroke(canvas, [new(area.Left, y), new(area.Right, y)], Grid, 1);
            var text = tick.ToString(Y.Format, CultureInfo.InvariantCulture);
            StrokeFont.Draw(canvas, text, area.Left - 10 - StrokeFont.Width(text, TextSize), y + TextSize / 2, TextSize, Ink);
        }
        foreach (var tick in X.VisibleTicks())
            WriteAround(canvas, tick.ToString(X.Format, CultureInfo.InvariantCulture), Place(area, tick, Y.From).X, area.Bottom + 22);
        WriteAround(canvas, X.Title, area.MidX, area.Bottom + 44);
        canvas.Save();
        canvas.RotateDegrees(-90);
        WriteAround(canvas, Y.Title, -area.MidY, 20);
        canvas.Restore();
        Stroke(canvas, [new(area.Left, area.Top), new(area.Left, area.Bottom), new(area.Right, area.Bottom)], Ink, 1);
    }

    private void DrawLine(SKCanvas canvas, SKRect area, ChartLine line, SKColor colour)
    {
        var (width, dot) = line.Emphasis switch
        {
            LineEmphasis.Faint => (1, 2.5f),
            LineEmphasis.Strong => (3, 5.5f),
            _ => (2f, 3.5f),
        };
        if (line.Emphasis == LineEmphasis.Faint)
            colour = colour.WithAlpha(0x50);
        var points = line.Points.Where(point => double.IsFinite(point.X) && double.IsFinite(point.Y)).ToArray();
        var places = Array.ConvertAll(points, point => Place(area, point.X, point.Y));
        Stroke(canvas, places, colour, width);
        foreach (var (x, y, error) in points.Where(point => point.Error > 0))
            Stroke(canvas, [Place(area, x, y - error), Place(area, x, y + error)], colour, width / 2);
        if (line.HasDots)
        {
            using var fill = new SKPaint { Color = colour, IsAntialias = true };
            foreach (var place in places)
                canvas.DrawCircle(place, dot, fill);
        }
        if (line.Label is { } label && places is [.., var last])
        {
            var x = last.X < area.MidX ? last.X + 12 : last.X - 12 - StrokeFont.Width(label, TextSize);
            StrokeFont.Draw(canvas, label, x, last.Y - 12, TextSize, colour);
        }
    }

    private SKPoint Place(SKRect area, double x, double y) => new(
        area.Left + area.Width * Math.Clamp(X.Share(x), 0, 1), area.Bottom - area.Height * Math.Clamp(Y.Share(y), 0, 1));

    private static void WriteAround(SKCanvas canvas, string text, float centre, float baseline) =>
        StrokeFont.Draw(canvas, text, centre - StrokeFont.Width(text, TextSize) / 2, baseline, TextSize, Ink);

    private static void Stroke(SKCanvas canvas, SKPoint[] points, SKColor colour, float width)
    {
        using var pen = new SKPaint { Color = colour, IsAntialias = true, IsStroke = true, StrokeWidth = width };
        using var path = new SKPath();
        path.AddPoly(points, close: false);
        canvas.DrawPath(path, pen);
    }
}
