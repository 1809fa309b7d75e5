namespace Microsoft.ML.Attention.Vision;

/// <summary>Where tiles lie along one side of a picture and how much each counts at a pixel.</summary>
internal sealed class TileAxis
{
    private readonly int _size;
    private readonly int[] _starts;
    private readonly float[][] _weights;

    /// <param name="size">Pixels of the picture.</param>
    /// <param name="tile">Pixels of a tile.</param>
    /// <param name="overlap">The least number of pixels that neighbours share, below those of a tile.</param>
    /// <param name="unit">What tiles begin at multiples of, as the sizes are; neighbours may share a unit less for it.</param>
    public TileAxis(int size, int tile, int overlap, int unit = 1)
    {
        _size = size;
        var count = size <= tile ? 1 : (size - overlap + tile - overlap - 1) / (tile - overlap);
        _starts = [.. Enumerable.Range(0, count).Select(i => count == 1 ? 0 : (int)((long)i * (size - tile) / (count - 1)) / unit * unit)];
        // Weights fall off linearly over the shared pixels, and those of all tiles at a pixel sum up to 1.
        var sums = new float[size];
        _weights = Array.ConvertAll(_starts, start => Enumerable.Range(0, Math.Min(tile, size))
            .Select(i => (float)Math.Min(Math.Min(i, Math.Min(tile, size) - 1 - i), overlap) + 1).ToArray());
        ForEach((tileIndex, i) => sums[_starts[tileIndex] + i] += _weights[tileIndex][i]);
        ForEach((tileIndex, i) => _weights[tileIndex][i] /= sums[_starts[tileIndex] + i]);

        void ForEach(Action<int, int> action)
        {
            for (var tileIndex = 0; tileIndex < count; tileIndex++)
            {
                for (var i = 0; i < _weights[tileIndex].Length; i++)
                    action(tileIndex, i);
            }
        }
    }

    /// <summary>The number of tiles.</summary>
    public int Count => _starts.Length;

    /// <summary>The first pixel of a tile.</summary>
    public int Start(int tile) => _starts[tile];

    /// <summary>How much a tile counts at each of its pixels that lie in the picture.</summary>
    public ReadOnlySpan<float> Weights(int tile) => _weights[tile];

    /// <summary>The pixel that a tile shows at a place: beyond the picture, that of its mirror image.</summary>
    public int Source(int tile, int place)
    {
        var period = Math.Max(1, 2 * (_size - 1));
        var within = (_starts[tile] + place) % period;
        return Math.Min(within, period - within);
    }
}
