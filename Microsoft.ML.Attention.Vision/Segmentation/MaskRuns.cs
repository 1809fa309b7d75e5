namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Masks as runs: each is a stretch of pixels of one class in one row of a picture, as four numbers: the class from 1, the row, the first
/// column and the number of pixels. Runs go from left to right and from top to bottom.
/// </summary>
public static class MaskRuns
{
    /// <summary>The numbers of a run.</summary>
    public const int NumbersPerRun = 4;

    /// <summary>The runs of a map of labels.</summary>
    /// <param name="labels">The label of each pixel, row by row; 0 for the background.</param>
    /// <param name="width">The picture's width in pixels.</param>
    /// <returns>Four numbers a run.</returns>
    /// <exception cref="ArgumentException">There are no whole rows.</exception>
    public static int[] Encode(ReadOnlySpan<byte> labels, int width)
    {
        if (width <= 0 || labels.Length % width != 0)
            throw new ArgumentException($"{labels.Length} labels are no rows of {width} pixels.", nameof(width));
        var runs = new List<int>();
        for (var start = 0; start < labels.Length;)
        {
            var rowEnd = ((start / width) + 1) * width;
            var length = labels[start..rowEnd].IndexOfAnyExcept(labels[start]) is >= 0 and var index ? index : rowEnd - start;
            if (labels[start] != 0)
                runs.AddRange([labels[start], start / width, start % width, length]);
            start += length;
        }
        return [.. runs];
    }

    /// <summary>The map of labels that runs were made of.</summary>
    /// <param name="runs">Four numbers a run.</param>
    /// <param name="width">The picture's width in pixels.</param>
    /// <param name="height">The picture's height in pixels.</param>
    /// <exception cref="ArgumentException">A run is not within the picture, or is cut off.</exception>
    public static byte[] Decode(ReadOnlySpan<int> runs, int width, int height)
    {
        if (runs.Length % NumbersPerRun != 0)
            throw new ArgumentException($"{runs.Length} numbers are no runs of {NumbersPerRun}.", nameof(runs));
        var labels = new byte[checked(width * height)];
        for (var i = 0; i < runs.Length; i += NumbersPerRun)
        {
            var (label, y, x, length) = (runs[i], runs[i + 1], runs[i + 2], runs[i + 3]);
            if (label is <= 0 or > byte.MaxValue || y < 0 || y >= height || x < 0 || length <= 0 || x > width - length)
            {
                throw new ArgumentException($"Run {i / NumbersPerRun} (class {label}, row {y}, column {x}, {length} pixels) is not within "
                    + $"a picture of {width} x {height} pixels.", nameof(runs));
            }
            labels.AsSpan((y * width) + x, length).Fill((byte)label);
        }
        return labels;
    }
}
