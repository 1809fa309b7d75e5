namespace GenerateStory.Reading;

/// <summary>What the reader sees of a picture: 64 x 64 pixels, each the mean of those it covers.</summary>
internal static class ReaderInput
{
    public const int Side = 64;

    /// <summary>The number of values, [3, 64, 64].</summary>
    public const int Length = 3 * Side * Side;

    /// <summary>Shrinks a square picture.</summary>
    /// <param name="pixels">Four bytes a pixel, R, G, B and one that is ignored.</param>
    /// <param name="side">Height and width, a multiple of 64.</param>
    /// <param name="values">Receives [3, 64, 64] in [-1, 1].</param>
    public static void Shrink(ReadOnlySpan<byte> pixels, int side, Span<float> values)
    {
        if (side % Side != 0)
            throw new ArgumentException($"The picture has {side} x {side} pixels; the reader takes multiples of {Side}.", nameof(side));
        var factor = side / Side;
        values.Clear();
        for (var y = 0; y < side; y++)
        {
            for (var x = 0; x < side; x++)
            {
                var (from, to) = (4 * ((y * side) + x), (y / factor * Side) + (x / factor));
                for (var channel = 0; channel < 3; channel++)
                    values[(channel * Side * Side) + to] += pixels[from + channel];
            }
        }
        foreach (ref var value in values)
            value = (value / (factor * factor * 127.5f)) - 1;
    }
}
