using System.Globalization;

namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>
/// Draws a training run: the loss of each step and its running mean, and below it the training and, where there is one, the validation
/// accuracy of each epoch.
/// </summary>
public static class LossCurve
{
    /// <summary>Writes the curve as a PNG of 960 x 720 pixels, 960 x 420 where no epoch has ended yet.</summary>
    /// <param name="trace">The training run; it has at least one step.</param>
    /// <param name="path">The file to write.</param>
    /// <exception cref="ArgumentException">The run has no step.</exception>
    public static void Save(TrainingTrace trace, string path)
    {
        if (trace.StepLosses.Count == 0)
            throw new ArgumentException("A training run without a step has no curve.", nameof(trace));
        var steps = new ChartAxis("step", 0, trace.StepLosses.Count);
        LineChart.Save(trace.Epochs.Count > 0 ? [Losses(trace, steps), Accuracies(trace, steps)] : [Losses(trace, steps)], path);
    }

    private static LineChart Losses(TrainingTrace trace, ChartAxis steps)
    {
        var points = trace.StepLosses.Select((loss, i) => new ChartPoint(i + 1, loss)).Where(point => double.IsFinite(point.Y)).ToArray();
        var highest = points.Select(point => point.Y).Where(loss => loss > 0).DefaultIfEmpty(1).Max();
        return new()
        {
            X = steps,
            Y = new("loss", 0, 1.05 * highest),
            Lines =
            [
                new("loss", points) { Emphasis = LineEmphasis.Faint },
                new("loss", [.. Smoothed(points)]) { Emphasis = LineEmphasis.Strong },
                .. Validation(trace, "log-loss", "0.000", metrics => metrics.LogLoss),
            ],
        };
    }

    private static LineChart Accuracies(TrainingTrace trace, ChartAxis steps) => new()
    {
        X = steps,
        Y = new("accuracy", 0, 1) { Format = "0%" },
        Height = 300,
        Lines =
        [
            new(
                string.Create(CultureInfo.InvariantCulture, $"training accuracy {trace.Epochs[^1].TrainingAccuracy:0.0%}"),
                [.. trace.Epochs.Select(epoch => new ChartPoint(epoch.Steps, epoch.TrainingAccuracy))]) { HasDots = true },
            .. Validation(trace, "accuracy", "0.0%", metrics => metrics.Accuracy),
        ],
    };

    /// <summary>The line of a validation metric, whose last value is in the legend; none where nothing was validated.</summary>
    private static IEnumerable<ChartLine> Validation(
        TrainingTrace trace, string name, string format, Func<ValidationMetrics, double> metric)
    {
        var points = trace.Epochs.Where(epoch => epoch.Validation is not null)
            .Select(epoch => new ChartPoint(epoch.Steps, metric(epoch.Validation!))).ToArray();
        if (points is [.., var last])
            yield return new($"validation {name} {last.Y.ToString(format, CultureInfo.InvariantCulture)}", points) { HasDots = true };
    }

    /// <summary>A running mean that forgets with a time constant of a twentieth of the run.</summary>
    private static IEnumerable<ChartPoint> Smoothed(ChartPoint[] points)
    {
        var keep = Math.Exp(-1 / Math.Max(points.Length / 20d, 1));
        double sum = 0, weight = 0;
        foreach (var (step, loss, _) in points)
        {
            (sum, weight) = (sum * keep + loss, weight * keep + 1);
            yield return new(step, sum / weight);
        }
    }
}
