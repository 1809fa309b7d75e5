namespace ClinicalTimeSeries;

/// <summary>
/// What boosted trees usually get of a series: of each variable the last, mean, least and largest value, standard deviation, slope a unit
/// of time and the number of measurements. NaN, which trees can split on, where there is none.
/// </summary>
internal static class SummaryFeatures
{
    public const int PerVariable = 7;

    /// <summary>The features of a series.</summary>
    /// <param name="times">[rows]</param>
    /// <param name="values">[rows, variables]</param>
    /// <param name="variableCount">The number of variables.</param>
    public static float[] Of(ReadOnlySpan<float> times, ReadOnlySpan<float> values, int variableCount)
    {
        var features = new float[PerVariable * variableCount];
        for (var variable = 0; variable < variableCount; variable++)
            Summarise(times, values, variableCount, variable, features.AsSpan(PerVariable * variable, PerVariable));
        return features;
    }

    private static void Summarise(ReadOnlySpan<float> times, ReadOnlySpan<float> values, int width, int variable, Span<float> features)
    {
        var (count, last, least, largest) = (0, float.NaN, float.NaN, float.NaN);
        double sumX = 0, sumT = 0, sumXX = 0, sumTT = 0, sumXT = 0;
        for (var row = 0; row < times.Length; row++)
        {
            var (x, t) = (values[(row * width) + variable], times[row]);
            if (float.IsNaN(x))
                continue;
            (count, last) = (count + 1, x);
            (least, largest) = count == 1 ? (x, x) : (Math.Min(least, x), Math.Max(largest, x));
            (sumX, sumT, sumXX, sumTT, sumXT) = (sumX + x, sumT + t, sumXX + (x * x), sumTT + (t * t), sumXT + (x * t));
        }
        var spread = Math.Max(0, sumXX - (sumX * sumX / count));
        var timeSpread = sumTT - (sumT * sumT / count);
        features[0] = last;
        features[1] = (float)(sumX / count);
        features[2] = least;
        features[3] = largest;
        features[4] = count > 1 ? (float)Math.Sqrt(spread / (count - 1)) : float.NaN;
        features[5] = timeSpread > 1e-9 ? (float)((sumXT - (sumX * sumT / count)) / timeSpread) : float.NaN;
        features[6] = count;
    }
}
