using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>
/// Draws a training run: the loss of each step and its running mean, and below it the training and, where there is one, the validation
/// accuracy of each epoch.
/// </summary>
public static class LossCurve
{
    private const int Width = 960, LossHeight = 420, AccuracyHeight = 300;
    private static readonly SKColor Ink = new(0x33, 0x33, 0x33);
    private static readonly SKColor Grid = new(0xE4, 0xE4, 0xE4);
    private static readonly SKColor StepLoss = new(0xB9, 0xCF, 0xEA);
    private static readonly SKColor MeanLoss = new(0x1F, 0x5F, 0xA8);
    private static readonly SKColor Training = new(0x6B, 0x8E, 0x4E);
    private static readonly SKColor Validation = new(0xC2, 0x5B, 0x12);

    /// <summary>Writes the curve as a PNG of 960 x 720 pixels, 960 x 420 where no epoch has ended yet.</summary>
    /// <param name="trace">The training run; it has at least one step.</param>
    /// <param name="path">The file to write.</param>
    /// <exception cref="ArgumentException">The run has no step.</exception>
    public static void Save(TrainingTrace trace, string path)
    {
        if (trace.StepLosses.Count == 0)
            throw new ArgumentException("A training run without a step has no curve.", nameof(trace));
        var height = LossHeight + (trace.Epochs.Count > 0 ? AccuracyHeight : 0);
        using var surface = SKSurface.Create(new SKImageInfo(Width, height, SKColorType.Rgba8888));
        surface.Canvas.Clear(SKColors.White);
        DrawLoss(surface.Canvas, trace);
        if (trace.Epochs.Count > 0)
            DrawAccuracy(surface.Canvas, trace);
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private static void DrawLoss(SKCanvas canvas, TrainingTrace trace)
    {
        var points = trace.StepLosses.Select((loss, i) => (Loss: loss, Step: i + 1)).Where(point => float.IsFinite(point.Loss)).ToArray();
        var highest = points.Select(point => point.Loss).DefaultIfEmpty(1).Max();
        var tick = RoundStep(highest / 5);
        var panel = new Panel(new(80, 50, Width - 40, LossHeight - 60), trace.StepLosses.Count, tick * (MathF.Floor(highest / tick) + 1));
        DrawAxes(canvas, panel, tick, "0.###");
        StrokeFont.Draw(canvas, "loss", panel.Area.Left, 30, 12, MeanLoss);
        Line(canvas, [.. points.Select(point => panel.At(point.Step, point.Loss))], StepLoss, 1);
        Line(canvas, [.. Smoothed(points).Select(point => panel.At(point.Step, point.Loss))], MeanLoss, 2.5f);

        var validated = trace.Epochs.Where(epoch => epoch.Validation is not null).ToArray();
        Dotted(canvas, [.. validated.Select(epoch => panel.At(epoch.Steps, (float)epoch.Validation!.LogLoss))], Validation);
        if (validated.Length > 0)
            TextLeftOf(canvas, Text($"validation log-loss {validated[^1].Validation!.LogLoss:0.000}"), panel.Area.Right, 30, Validation, 12);
    }

    private static void DrawAccuracy(SKCanvas canvas, TrainingTrace trace)
    {
        var panel = new Panel(
            new(80, LossHeight + 40, Width - 40, LossHeight + AccuracyHeight - 60), trace.StepLosses.Count, Limit: 1);
        DrawAxes(canvas, panel, 0.2f, "0%");
        var (title, last) = (panel.Area.Top - 20, trace.Epochs[^1]);
        StrokeFont.Draw(canvas, Text($"training accuracy {last.TrainingAccuracy:0.0%}"), panel.Area.Left, title, 12, Training);
        Dotted(canvas, [.. trace.Epochs.Select(epoch => panel.At(epoch.Steps, (float)epoch.TrainingAccuracy))], Training);
        Dotted(
            canvas,
            [.. from epoch in trace.Epochs
                where epoch.Validation is not null
                select panel.At(epoch.Steps, (float)epoch.Validation!.Accuracy)],
            Validation);
        if (last.Validation is { } validation)
            TextLeftOf(canvas, Text($"validation accuracy {validation.Accuracy:0.0%}"), panel.Area.Right, title, Validation, 12);
    }

    private static void DrawAxes(SKCanvas canvas, Panel panel, float tick, string format)
    {
        for (var value = 0f; value < panel.Limit + tick / 2; value += tick)
        {
            var (left, right) = (panel.At(0, value), panel.At(panel.Steps, value));
            Line(canvas, [left, right], Grid, 1);
            TextLeftOf(canvas, value.ToString(format, CultureInfo.InvariantCulture), left.X - 10, left.Y + 5, Ink);
        }
        var stepTick = Math.Max((int)RoundStep(panel.Steps / 6f), 1);
        for (var step = 0; step <= panel.Steps; step += stepTick)
            TextAround(canvas, Text($"{step}"), panel.At(step, 0).X, panel.Area.Bottom + 22);
        TextAround(canvas, "step", panel.Area.MidX, panel.Area.Bottom + 44);
        Line(canvas, [new(panel.Area.Left, panel.Area.Top), panel.At(0, 0), panel.At(panel.Steps, 0)], Ink, 1);
    }

    /// <summary>A part of the picture with axes: steps from 0 to the right, values from 0 up.</summary>
    private readonly record struct Panel(SKRect Area, int Steps, float Limit)
    {
        public SKPoint At(float step, float value) =>
            new(Area.Left + Area.Width * step / Steps, Area.Bottom - Area.Height * Math.Clamp(value / Limit, 0, 1));
    }

    /// <summary>A running mean that forgets with a time constant of a twentieth of the run.</summary>
    private static IEnumerable<(float Loss, int Step)> Smoothed((float Loss, int Step)[] points)
    {
        var keep = MathF.Exp(-1 / Math.Max(points.Length / 20f, 1));
        float sum = 0, weight = 0;
        foreach (var (loss, step) in points)
        {
            (sum, weight) = (sum * keep + loss, weight * keep + 1);
            yield return (sum / weight, step);
        }
    }

    /// <summary>1, 2 or 5 times a power of ten, not below <paramref name="step"/>.</summary>
    private static float RoundStep(float step)
    {
        var power = MathF.Pow(10, MathF.Floor(MathF.Log10(Math.Max(step, 1e-6f))));
        return (step / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 } * power;
    }

    private static void TextLeftOf(SKCanvas canvas, string text, float right, float baseline, SKColor colour, float size = 10) =>
        StrokeFont.Draw(canvas, text, right - StrokeFont.Width(text, size), baseline, size, colour);

    private static void TextAround(SKCanvas canvas, string text, float centre, float baseline) =>
        StrokeFont.Draw(canvas, text, centre - StrokeFont.Width(text, 10) / 2, baseline, 10, Ink);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void Dotted(SKCanvas canvas, SKPoint[] points, SKColor colour)
    {
        Line(canvas, points, colour, 2);
        using var dot = new SKPaint { Color = colour, IsAntialias = true };
        foreach (var point in points)
            canvas.DrawCircle(point, 3.5f, dot);
    }

    private static void Line(SKCanvas canvas, SKPoint[] points, SKColor colour, float width)
    {
        using var pen = new SKPaint { Color = colour, IsAntialias = true, IsStroke = true, StrokeWidth = width };
        using var path = new SKPath();
        path.AddPoly(points, close: false);
        canvas.DrawPath(path, pen);
    }
}
