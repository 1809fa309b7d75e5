namespace Microsoft.ML.Attention.Vision.Plots;

/// <summary>An axis of a <see cref="LineChart"/>.</summary>
/// <param name="Title">What it measures, with its unit.</param>
/// <param name="From">The value at its beginning; positive where the axis is logarithmic.</param>
/// <param name="To">The value at its end, above <paramref name="From"/>.</param>
public sealed record ChartAxis(string Title, double From, double To)
{
    /// <summary>Whether equal lengths are equal ratios rather than equal differences.</summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>The values that are written along it; null for round ones.</summary>
    public IReadOnlyList<double>? Ticks { get; init; }

    /// <summary>How the values along it are written.</summary>
    public string Format { get; init; } = "0.###";

    /// <summary>Where on the axis a value is, 0 at its beginning and 1 at its end.</summary>
    internal float Share(double value) =>
        (float)(IsLogarithmic ? Math.Log(value / From) / Math.Log(To / From) : (value - From) / (To - From));

    internal IEnumerable<double> VisibleTicks() =>
        (Ticks ?? (IsLogarithmic ? Ratios() : Multiples())).Where(tick => tick >= From && tick <= To);

    internal void Validate()
    {
        if (!double.IsFinite(To - From) || To <= From)
            throw new ArgumentException($"The axis '{Title}' ends at {To}; that must be a number above its beginning, {From}.");
        if (IsLogarithmic && From <= 0)
            throw new ArgumentException($"The logarithmic axis '{Title}' begins at {From}; that must be positive.");
    }

    private IEnumerable<double> Ratios()
    {
        for (var power = PowerOfTen(From); power <= To; power *= 10)
        {
            yield return power;
            yield return 2 * power;
            yield return 5 * power;
        }
    }

    private IEnumerable<double> Multiples()
    {
        var fifth = (To - From) / 5;
        var power = PowerOfTen(fifth);
        var step = (fifth / power) switch { <= 1 => 1, <= 2 => 2, <= 5 => 5, _ => 10 } * power;
        for (var i = Math.Ceiling(From / step); i * step <= To; i++)
            yield return i * step;
    }

    private static double PowerOfTen(double value) => Math.Pow(10, Math.Floor(Math.Log10(value)));
}
