namespace Microsoft.ML.Attention;

/// <summary>How well amounts are predicted that matter by buckets, such as the remaining days of a stay.</summary>
/// <param name="LinearKappa">
/// Cohen's kappa of the buckets of predicted and true amounts, with weights that grow linearly with the distance of the buckets: 1 for all
/// right, 0 for no better than chance.
/// </param>
/// <param name="MeanAbsoluteDeviation">The mean distance of predicted and true amounts, in their unit.</param>
/// <param name="MeanAbsolutePercentageError">
/// The mean of that distance in per cent of the true amount, to which 0.1 is added so that an amount of 0 counts, as the MIMIC-III benchmark
/// does.
/// </param>
public readonly record struct BucketMetrics(double LinearKappa, double MeanAbsoluteDeviation, double MeanAbsolutePercentageError)
{
    /// <summary>Compares predicted amounts with true ones.</summary>
    /// <param name="predicted">The predicted amounts.</param>
    /// <param name="actual">The true amounts.</param>
    /// <param name="buckets">Where buckets meet, ascending; an amount on an edge belongs to the bucket above.</param>
    /// <exception cref="ArgumentException">There are not as many predicted amounts as true ones.</exception>
    public static BucketMetrics Of(IReadOnlyList<double> predicted, IReadOnlyList<double> actual, IReadOnlyList<double> buckets)
    {
        if (predicted.Count != actual.Count)
            throw new ArgumentException($"There are {predicted.Count} predicted amounts and {actual.Count} true ones.");
        var deviation = predicted.Zip(actual, (p, a) => Math.Abs(p - a)).DefaultIfEmpty(double.NaN).Average();
        var share = predicted.Zip(actual, (p, a) => Math.Abs((a - p) / (a + 0.1))).DefaultIfEmpty(double.NaN).Average();
        return new(Kappa([.. predicted.Select(BucketOf)], [.. actual.Select(BucketOf)]), deviation, 100 * share);

        int BucketOf(double amount) => buckets.Count(edge => amount >= edge);
    }

    // The distance of two buckets is counted in buckets that occur at all.
    private static double Kappa(int[] predicted, int[] actual)
    {
        int[] present = [.. predicted.Concat(actual).Distinct().Order()];
        var (rows, columns) = (new double[present.Length], new double[present.Length]);
        double observed = 0, expected = 0;
        for (var i = 0; i < predicted.Length; i++)
        {
            var (p, a) = (Array.BinarySearch(present, predicted[i]), Array.BinarySearch(present, actual[i]));
            observed += Math.Abs(p - a);
            rows[p]++;
            columns[a]++;
        }
        for (var p = 0; p < present.Length; p++)
        {
            for (var a = 0; a < present.Length; a++)
                expected += Math.Abs(p - a) * rows[p] * columns[a] / predicted.Length;
        }
        return 1 - (observed / expected);
    }
}
