using System.Globalization;
using Microsoft.ML.Attention.Vision.Plots;

namespace Sweep;

/// <summary>Draws accuracy against epochs: a line for each candidate, through its rounds.</summary>
internal static class SweepPlot
{
    /// <summary>Writes a PNG.</summary>
    /// <param name="trials">The trials, the best first.</param>
    /// <param name="path">The file to write.</param>
    public static void Save(IReadOnlyList<Trial> trials, string path)
    {
        var done = trials.Where(trial => trial.Failure is null).ToArray();
        var rounds = done.Select(trial => trial.Epochs).Distinct().Order().ToArray();
        var chart = new LineChart
        {
            X = new("epochs", rounds[0] / 1.15, rounds[^1] * 1.15) { IsLogarithmic = true, Ticks = [.. rounds] },
            Y = new(
                "accuracy, cross-validated",
                done.Min(trial => trial.Mean - trial.Error) - 0.01,
                Math.Min(done.Max(trial => trial.Mean + trial.Error) + 0.02, 1)) { Format = "0.#%" },
            Lines = [.. done.GroupBy(trial => trial.Candidate).OrderBy(group => group.Key.Number).Select(group => Line(group, trials[0]))],
            Height = 560,
        };
        LineChart.Save([chart], path);
    }

    private static ChartLine Line(IGrouping<Candidate, Trial> trials, Trial best)
    {
        var isBest = trials.Key == best.Candidate;
        // A little aside for each, so that the error bars of a round do not hide each other.
        var aside = 0.94 + 0.01 * (trials.Key.Number % 13);
        return new(trials.Key.Architecture, [.. trials.OrderBy(trial => trial.Epochs)
            .Select(trial => new ChartPoint(aside * trial.Epochs, trial.Mean, trial.Error))])
        {
            HasDots = true,
            Emphasis = isBest ? LineEmphasis.Strong : LineEmphasis.Normal,
            Label = isBest
                ? string.Create(CultureInfo.InvariantCulture, $"best: candidate {best.Candidate.Number}, {best.Mean:0.0%}")
                : null,
        };
    }
}
