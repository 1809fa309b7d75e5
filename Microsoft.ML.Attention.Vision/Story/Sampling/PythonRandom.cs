using System.Numerics;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Draws what CPython's module <c>random</c> draws after <c>random.seed(seed)</c>.</summary>
internal sealed class PythonRandom
{
    private readonly MersenneTwister _bits;

    public PythonRandom(long seed)
    {
        var magnitude = (ulong)Int128.Abs(seed);
        uint[] words = magnitude >> 32 == 0 ? [(uint)magnitude] : [(uint)magnitude, (uint)(magnitude >> 32)];
        _bits = new(words);
    }

    /// <summary>A number in [0, 1) of 53 bits.</summary>
    public double NextDouble() => ((_bits.Next() >> 5) * 67108864.0 + (_bits.Next() >> 6)) / 9007199254740992.0;

    /// <summary>An integer of so many bits, 1 to 32.</summary>
    public uint NextBits(int count) => _bits.Next() >> (32 - count);

    /// <summary>An integer in [0, bound).</summary>
    public int NextBelow(int bound)
    {
        var width = 32 - BitOperations.LeadingZeroCount((uint)bound);
        uint value;
        do
            value = NextBits(width);
        while (value >= bound);
        return (int)value;
    }

    /// <summary>Puts values into a random order.</summary>
    public void Shuffle<T>(Span<T> values)
    {
        for (var i = values.Length - 1; i > 0; i--)
        {
            var j = NextBelow(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }
}
