namespace Microsoft.ML.Attention.Vision;

/// <summary>Which steps of training a denoising loop visits, noisiest first (Lin et al., arXiv 2305.08891, table 2).</summary>
internal static class Timesteps
{
    /// <param name="config">The number of steps in training and the offset.</param>
    /// <param name="spacing"><c>leading</c>, <c>trailing</c> or <c>linspace</c>.</param>
    /// <param name="count">The number of steps.</param>
    /// <exception cref="NotSupportedException">The spacing is not known.</exception>
    public static double[] Spaced(SchedulerConfig config, string spacing, int count)
    {
        var total = config.NumTrainTimesteps;
        if (count < 1 || count > total)
            throw new ArgumentOutOfRangeException(nameof(count), count, $"The number of steps is not between 1 and {total}, those of training.");
        return spacing switch
        {
            "leading" => Descending(count, i => i * (total / count) + config.StepsOffset),
            "linspace" => Descending(count, i => count == 1 ? 0 : i * (total - 1.0) / (count - 1)),
            "trailing" => [.. Enumerable.Range(0, count).Select(i => Math.Round(total - i * ((double)total / count)) - 1)],
            _ => throw new NotSupportedException($"timestep_spacing '{spacing}' is not known; known are leading, linspace and trailing."),
        };
    }

    private static double[] Descending(int count, Func<int, double> step) => [.. Enumerable.Range(0, count).Reverse().Select(step)];
}
