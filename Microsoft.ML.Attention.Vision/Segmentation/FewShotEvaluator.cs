namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Measures masks against the truth, picture by picture. Not for several threads at once.
/// <para>Source: the evaluation of "Self-Calibrated Cross Attention Network for Few-Shot Segmentation" (ICCV 2023, arXiv 2308.09294).</para>
/// </summary>
public sealed class FewShotEvaluator
{
    private const double Epsilon = 1e-10;

    private readonly SortedDictionary<string, Counts> _classes = new(StringComparer.Ordinal);
    private Counts _background;
    private int _pictureCount;

    /// <summary>Adds the mask of one class in one picture.</summary>
    /// <param name="label">The class that was to be found.</param>
    /// <param name="predicted">The predicted mask, row by row: 0 for the background, all else for the object.</param>
    /// <param name="truth">The true mask: 0 for the background, 255 for pixels that do not count, all else for the object.</param>
    /// <exception cref="ArgumentException">The masks are not of the same size.</exception>
    public void Add(string label, ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth)
    {
        ArgumentNullException.ThrowIfNull(label);
        if (predicted.Length != truth.Length)
            throw new ArgumentException($"The predicted mask has {predicted.Length} pixels, the true one {truth.Length}.", nameof(predicted));
        var (foreground, background) = Count(predicted, truth);
        _classes[label] = _classes.GetValueOrDefault(label) + foreground;
        _background += background;
        _pictureCount++;
    }

    /// <summary>The metrics of all that was added.</summary>
    /// <exception cref="InvalidOperationException">Nothing was added.</exception>
    public FewShotMetrics Measure()
    {
        if (_pictureCount == 0)
            throw new InvalidOperationException("No mask was added to measure.");
        var objects = _classes.Values.Aggregate(default(Counts), (sum, counts) => sum + counts);
        return new()
        {
            MeanIoU = _classes.Values.Average(counts => counts.Ratio),
            ForegroundBackgroundIoU = (objects.Ratio + _background.Ratio) / 2,
            Classes = _classes.ToDictionary(entry => entry.Key, entry => entry.Value.Ratio),
            PictureCount = _pictureCount,
        };
    }

    /// <summary>Pixels of the object and of the background: predicted and true, and predicted or true.</summary>
    internal static (Counts Foreground, Counts Background) Count(ReadOnlySpan<byte> predicted, ReadOnlySpan<byte> truth)
    {
        long counted = 0, both = 0, either = 0;
        for (var i = 0; i < truth.Length; i++)
        {
            if (truth[i] == LabelMap.Ignored)
                continue;
            var (isPredicted, isTrue) = (predicted[i] != 0, truth[i] != 0);
            counted++;
            both += isPredicted && isTrue ? 1 : 0;
            either += isPredicted || isTrue ? 1 : 0;
        }
        return (new(both, either), new(counted - either, counted - both));
    }

    /// <summary>Numbers of pixels.</summary>
    internal readonly record struct Counts(long Intersection, long Union)
    {
        public double Ratio => Intersection / (Union + Epsilon);

        public static Counts operator +(Counts first, Counts second) =>
            new(first.Intersection + second.Intersection, first.Union + second.Union);
    }
}
