using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>Draws a training run: the loss of each step and, where there is one, the validation accuracy of each epoch.</summary>
public static class LossCurve
{
    private const int Width = 960, Height = 480;
    private static readonly SKRect Plot = new(80, 50, Width - 80, Height - 60);
    private static readonly SKColor Ink = new(0x33, 0x33, 0x33);
    private static readonly SKColor Grid = new(0xE4, 0xE4, 0xE4);
    private static readonly SKColor StepLoss = new(0xB9, 0xCF, 0xEA);
    private static readonly SKColor MeanLoss = new(0x1F, 0x5F, 0xA8);
    private static readonly SKColor Accuracy = new(0xC2, 0x5B, 0x12);

    /// <summary>Writes the curve as a PNG of 960 x 480 pixels.</summary>
    /// <param name="trace">The training run; it has at least one step.</param>
    /// <param name="path">The file to write.</param>
    /// <exception cref="ArgumentException">The run has no step.</exception>
    public static void Save(TrainingTrace trace, string path)
    {
        if (trace.StepLosses.Count == 0)
            throw new ArgumentException("A training run without a step has no curve.", nameof(trace));
        using var surface = SKSurface.Create(new SKImageInfo(Width, Height, SKColorType.Rgba8888));
        Draw(surface.Canvas, trace);
        using var image = surface.Snapshot();
        using var png = image.Encode(SKEncodedImageFormat.Png, quality: 100);
        using var file = File.Create(path);
        png.SaveTo(file);
    }

    private static void Draw(SKCanvas canvas, TrainingTrace trace)
    {
        var (losses, steps) = (trace.StepLosses, trace.StepLosses.Count);
        var lossStep = RoundStep(losses.Where(float.IsFinite).DefaultIfEmpty(1).Max() / 5);
        var lossLimit = lossStep * (MathF.Floor(losses.Where(float.IsFinite).DefaultIfEmpty(1).Max() / lossStep) + 1);
        float X(float step) => Plot.Left + Plot.Width * step / steps;
        float Y(float loss) => Plot.Bottom - Plot.Height * Math.Clamp(loss / lossLimit, 0, 1);

        canvas.Clear(SKColors.White);
        for (var loss = 0f; loss < lossLimit + lossStep / 2; loss += lossStep)
        {
            Line(canvas, [new(Plot.Left, Y(loss)), new(Plot.Right, Y(loss))], Grid, 1);
            TextLeftOf(canvas, loss.ToString("0.###", CultureInfo.InvariantCulture), Plot.Left - 10, Y(loss) + 5, MeanLoss);
        }
        var tick = Math.Max((int)RoundStep(steps / 6f), 1);
        for (var step = 0; step <= steps; step += tick)
        {
            var text = step.ToString(CultureInfo.InvariantCulture);
            StrokeFont.Draw(canvas, text, X(step) - StrokeFont.Width(text, 10) / 2, Plot.Bottom + 22, 10, Ink);
        }
        StrokeFont.Draw(canvas, "step", (Plot.Left + Plot.Right - StrokeFont.Width("step", 10)) / 2, Height - 16, 10, Ink);
        StrokeFont.Draw(canvas, "loss", Plot.Left, 30, 12, MeanLoss);

        var finite = losses.Select((loss, i) => (Loss: loss, Step: i + 1)).Where(point => float.IsFinite(point.Loss)).ToArray();
        Line(canvas, [.. finite.Select(point => new SKPoint(X(point.Step), Y(point.Loss)))], StepLoss, 1);
        Line(canvas, [.. Smoothed(finite).Select(point => new SKPoint(X(point.Step), Y(point.Loss)))], MeanLoss, 2.5f);

        var epochs = trace.Epochs.Where(epoch => epoch.ValidationAccuracy is not null).ToArray();
        if (epochs.Length > 0)
            DrawAccuracy(canvas, [.. epochs.Select(epoch => (X(epoch.Steps), (float)epoch.ValidationAccuracy!.Value))]);
        Line(canvas, [new(Plot.Left, Plot.Top), new(Plot.Left, Plot.Bottom), new(Plot.Right, Plot.Bottom)], Ink, 1);
    }

    private static void DrawAccuracy(SKCanvas canvas, (float X, float Accuracy)[] epochs)
    {
        var points = Array.ConvertAll(epochs, epoch => new SKPoint(epoch.X, Plot.Bottom - Plot.Height * epoch.Accuracy));
        for (var percent = 0; percent <= 100; percent += 20)
            StrokeFont.Draw(canvas, $"{percent}%", Plot.Right + 10, Plot.Bottom - Plot.Height * percent / 100 + 5, 10, Accuracy);
        Line(canvas, points, Accuracy, 2);
        using var dot = new SKPaint { Color = Accuracy, IsAntialias = true };
        foreach (var point in points)
            canvas.DrawCircle(point, 3.5f, dot);
        var last = string.Create(CultureInfo.InvariantCulture, $"validation accuracy {epochs[^1].Accuracy:0.0%}");
        TextLeftOf(canvas, last, Plot.Right, 30, Accuracy, 12);
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

    private static void Line(SKCanvas canvas, SKPoint[] points, SKColor colour, float width)
    {
        using var pen = new SKPaint { Color = colour, IsAntialias = true, IsStroke = true, StrokeWidth = width };
        using var path = new SKPath();
        path.AddPoly(points, close: false);
        canvas.DrawPath(path, pen);
    }
}
