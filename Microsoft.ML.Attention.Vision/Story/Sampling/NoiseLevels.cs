namespace Microsoft.ML.Attention.Vision;

/// <summary>How much of the picture (alpha bar, in [0, 1]) is left in the noise at each step of training.</summary>
internal static class NoiseLevels
{
    /// <exception cref="NotSupportedException">The kind of schedule is not known.</exception>
    public static float[] AlphaBar(SchedulerConfig config)
    {
        var betas = config.TrainedBetas ?? Betas(config);
        var alphaBar = CumulativeProduct(Array.ConvertAll(betas, beta => 1 - beta));
        return config.RescaleBetasZeroSnr ? WithoutSignalAtTheEnd(alphaBar) : alphaBar;
    }

    /// <summary>The standard deviation of the noise where the picture has weight one.</summary>
    public static float Sigma(float alphaBar) => MathF.Sqrt((1 - alphaBar) / alphaBar);

    private static float[] Betas(SchedulerConfig config)
    {
        var (start, end, count) = (config.BetaStart, config.BetaEnd, config.NumTrainTimesteps);
        return config.BetaSchedule switch
        {
            "linear" => Linear(start, end, count),
            "scaled_linear" => Array.ConvertAll(Linear(Math.Sqrt(start), Math.Sqrt(end), count), root => root * root),
            "squaredcos_cap_v2" => Cosine(count),
            var kind => throw new NotSupportedException(
                $"beta_schedule '{kind}' is not known; known are linear, scaled_linear and squaredcos_cap_v2."),
        };
    }

    // As PyTorch: from both ends, in single precision.
    private static float[] Linear(double start, double end, int count)
    {
        var (first, last) = ((float)start, (float)end);
        var step = (last - first) / (count - 1);
        return [.. Enumerable.Range(0, count).Select(i => i < count / 2 ? first + step * i : last - step * (count - 1 - i))];
    }

    private static float[] Cosine(int count)
    {
        return [.. Enumerable.Range(0, count).Select(i => (float)Math.Min(1 - At(i + 1) / At(i), 0.999))];

        double At(int i) => Math.Pow(Math.Cos(((double)i / count + 0.008) / 1.008 * Math.PI / 2), 2);
    }

    private static float[] CumulativeProduct(float[] factors)
    {
        var product = 1f;
        return Array.ConvertAll(factors, factor => product *= factor);
    }

    // Lin et al., arXiv 2305.08891: the last step has no signal, the first stays.
    private static float[] WithoutSignalAtTheEnd(float[] alphaBar)
    {
        var roots = Array.ConvertAll(alphaBar, MathF.Sqrt);
        var (first, last) = (roots[0], roots[^1]);
        var rescaled = Array.ConvertAll(roots, root => (root - last) * (first / (first - last))).Select(root => root * root).ToArray();
        // Through the betas and back, for the same rounding as diffusers.
        return CumulativeProduct([.. rescaled.Select((value, i) => i == 0 ? value : value / rescaled[i - 1]).Select(a => 1 - (1 - a))]);
    }
}
