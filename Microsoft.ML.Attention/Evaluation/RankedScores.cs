namespace Microsoft.ML.Attention;

/// <summary>Scores with their labels, sorted once and measured as often as one likes with other weights.</summary>
public sealed class RankedScores
{
    private readonly int[] _order;
    private readonly bool[] _labels;
    private readonly bool[] _endsTie;

    /// <summary>Sorts scores.</summary>
    /// <param name="scores">A number for each row, higher for a row that is more likely positive.</param>
    /// <param name="labels">Whether each row is positive.</param>
    /// <exception cref="ArgumentException">There are not as many labels as scores, or a score is not a number.</exception>
    public RankedScores(ReadOnlySpan<double> scores, ReadOnlySpan<bool> labels)
    {
        if (scores.Length != labels.Length)
            throw new ArgumentException($"There are {scores.Length} scores and {labels.Length} labels.");
        var sorted = scores.ToArray();
        if (Array.FindIndex(sorted, double.IsNaN) is >= 0 and var missing)
            throw new ArgumentException($"Score {missing} is not a number: leave out rows that could not be scored.");
        _order = [.. Enumerable.Range(0, scores.Length)];
        Array.Sort(sorted, _order, Comparer<double>.Create((a, b) => b.CompareTo(a)));
        _labels = new bool[scores.Length];
        _endsTie = new bool[scores.Length];
        for (var i = 0; i < sorted.Length; i++)
        {
            _labels[i] = labels[_order[i]];
            _endsTie[i] = i + 1 == sorted.Length || sorted[i] != sorted[i + 1];
        }
    }

    /// <summary>The number of rows.</summary>
    public int Count => _order.Length;

    /// <summary>Measures the rows, each counting once.</summary>
    public CurveMetrics Measure() => Measure([.. Enumerable.Repeat(1, Count)]);

    /// <summary>Measures the rows.</summary>
    /// <param name="weights">How often each row counts, in the order that the scores were given in.</param>
    public CurveMetrics Measure(ReadOnlySpan<int> weights)
    {
        long positives = 0, negatives = 0;
        for (var i = 0; i < Count; i++)
            (_labels[i] ? ref positives : ref negatives) += weights[_order[i]];
        if (positives == 0 || negatives == 0)
            return new(double.NaN, double.NaN, double.NaN, double.NaN);

        long right = 0, wrong = 0, tiedRight = 0, tiedWrong = 0;
        double pairs = 0, area = 0, steps = 0, best = 0, lastPrecision = 1;
        for (var i = 0; i < Count; i++)
        {
            (_labels[i] ? ref tiedRight : ref tiedWrong) += weights[_order[i]];
            if (!_endsTie[i] || tiedRight + tiedWrong == 0)
                continue;
            pairs += tiedWrong * (right + (tiedRight / 2.0));
            (right, wrong) = (right + tiedRight, wrong + tiedWrong);
            var (precision, recall) = ((double)right / (right + wrong), (double)right / positives);
            area += (double)tiedRight / positives * (precision + lastPrecision) / 2;
            steps += (double)tiedRight / positives * precision;
            best = Math.Max(best, Math.Min(precision, recall));
            (lastPrecision, tiedRight, tiedWrong) = (precision, 0, 0);
        }
        return new(pairs / ((double)positives * negatives), area, steps, best);
    }
}
