namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Random numbers that depend on a seed and the number of a step alone, so that a resumed training sees the same.</summary>
internal static class Noise
{
    /// <summary>Fills with numbers that are uniform in [0, 1).</summary>
    public static void Fill(Span<float> numbers, long seed, long step)
    {
        var key = Mix(((ulong)seed * 0x9E3779B97F4A7C15) ^ Mix((ulong)step));
        for (var i = 0; i < numbers.Length; i++)
            numbers[i] = (Mix(key + ((ulong)i * 0x9E3779B97F4A7C15)) >> 40) * (1f / (1 << 24));
    }

    // The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
