namespace Microsoft.ML.Attention.Vision;

/// <summary>Noise levels between and beside those of training: what schedulers that think in sigma go by.</summary>
internal sealed class SigmaSchedule
{
    private const double KarrasRho = 7;

    // Where the signal is nothing, sigma would be infinite.
    private const float LeastAlphaBar = 1f / (1 << 24);

    private readonly float[] _table;

    public SigmaSchedule(float[] alphaBar) =>
        _table = Array.ConvertAll(alphaBar, value => NoiseLevels.Sigma(Math.Max(value, LeastAlphaBar)));

    /// <summary>The least and the greatest noise of training.</summary>
    public (float Least, float Greatest) Range => (_table[0], _table[^1]);

    /// <summary>The noise at a step of training, between two of them linearly.</summary>
    public float At(double timestep)
    {
        var low = Math.Clamp((int)timestep, 0, _table.Length - 1);
        var high = Math.Min(low + 1, _table.Length - 1);
        return (float)(_table[low] + (timestep - low) * ((double)_table[high] - _table[low]));
    }

    /// <summary>The step of training with some noise, between two of them linearly in the noise's logarithm.</summary>
    public double TimestepOf(double sigma)
    {
        var low = 0;
        while (low < _table.Length - 2 && _table[low + 1] <= sigma)
            low++;
        double below = MathF.Log(_table[low]), above = MathF.Log(_table[low + 1]);
        return low + Math.Clamp((Math.Log(sigma) - below) / (above - below), 0, 1);
    }

    /// <summary>Levels from the greatest to the least, denser where little noise is left (Karras et al., arXiv 2206.00364, equation 5).</summary>
    public static double[] Karras(double greatest, double least, int count)
    {
        var (start, end) = (Math.Pow(greatest, 1 / KarrasRho), Math.Pow(least, 1 / KarrasRho));
        return [.. Enumerable.Range(0, count).Select(i => Math.Pow(start + Share(i, count) * (end - start), KarrasRho))];
    }

    /// <summary>Levels from the greatest to the least of training in equal ratios.</summary>
    public double[] LogLinear(int count)
    {
        var (end, start) = (Math.Log(Range.Least), Math.Log(Range.Greatest));
        return [.. Enumerable.Range(0, count).Select(i => Math.Exp(start + Share(i, count) * (end - start)))];
    }

    private static double Share(int i, int count) => count == 1 ? 0 : (double)i / (count - 1);
}
