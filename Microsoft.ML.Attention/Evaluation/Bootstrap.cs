using System.Globalization;

namespace Microsoft.ML.Attention;

/// <summary>Draws the rows of a test set again and again, with repetition, to see how much a figure depends on which rows are in it.</summary>
/// <param name="drawCount">How often rows are drawn.</param>
/// <param name="seed">Tells the draws.</param>
public sealed class Bootstrap(int drawCount = 10_000, int seed = 1)
{
    /// <summary>The interval of a figure.</summary>
    /// <param name="rowCount">The rows of the test set.</param>
    /// <param name="figure">
    /// The figure, given how often each row was drawn. For the difference of two models subtract their figures here: both see the same rows.
    /// Draws that give no number do not count.
    /// </param>
    public BootstrapInterval Measure(int rowCount, Func<int[], double> figure)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowCount);
        ArgumentNullException.ThrowIfNull(figure);
        var random = new Random(seed);
        var weights = new int[rowCount];
        var figures = new List<double>(drawCount);
        for (var draw = 0; draw < drawCount; draw++)
        {
            Array.Clear(weights);
            for (var i = 0; i < rowCount; i++)
                weights[random.Next(rowCount)]++;
            if (figure(weights) is var drawn && !double.IsNaN(drawn))
                figures.Add(drawn);
        }
        Array.Fill(weights, 1);
        figures.Sort();
        return new(figure(weights), Quantile(figures, 0.025), Quantile(figures, 0.975))
        {
            ShareAboveZero = figures.Count == 0 ? double.NaN : figures.Count(drawn => drawn > 0) / (double)figures.Count,
        };
    }

    private static double Quantile(List<double> sorted, double share)
    {
        if (sorted.Count == 0)
            return double.NaN;
        var place = share * (sorted.Count - 1);
        var (below, part) = ((int)place, place - Math.Floor(place));
        return sorted[below] + (part * (sorted[Math.Min(below + 1, sorted.Count - 1)] - sorted[below]));
    }
}

/// <summary>A figure with its 95 % confidence interval.</summary>
/// <param name="Value">The figure of the test set as it is.</param>
/// <param name="Low">The 2.5th percentile of the drawn sets.</param>
/// <param name="High">Their 97.5th percentile.</param>
public readonly record struct BootstrapInterval(double Value, double Low, double High)
{
    /// <summary>The share of the drawn sets whose figure is above 0: of a difference, how often the first is ahead.</summary>
    public double ShareAboveZero { get; init; }

    /// <summary>The figure and its interval as text for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Value:0.000} [{Low:0.000}, {High:0.000}]");
}
