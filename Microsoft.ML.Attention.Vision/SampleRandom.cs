namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Random numbers that belong to one sample of one epoch: whichever thread draws them, and in whichever order samples are prepared, they
/// are the same (SplitMix64 started from a hash of seed, epoch and index).
/// </summary>
internal struct SampleRandom
{
    private ulong _state;
    private double? _spareNormal;

    public SampleRandom(int seed, int epoch, long index) =>
        _state = Mix(Mix(Mix((uint)seed) + (uint)epoch) + (ulong)index);

    /// <summary>A number in [0, 1).</summary>
    public double NextDouble() => (NextBits() >> 11) * (1.0 / (1L << 53));

    /// <summary>A number in [minimum, maximum).</summary>
    public double NextDouble(double minimum, double maximum) => minimum + (maximum - minimum) * NextDouble();

    /// <summary>An integer in [0, bound).</summary>
    public int Next(int bound) => (int)Math.BigMul(NextBits(), (ulong)bound, out _);

    /// <summary>A standard normal number (Box and Muller).</summary>
    public float NextNormal()
    {
        if (_spareNormal is { } spare)
        {
            _spareNormal = null;
            return (float)spare;
        }
        var radius = Math.Sqrt(-2 * Math.Log(1 - NextDouble()));
        var (sine, cosine) = Math.SinCos(2 * Math.PI * NextDouble());
        _spareNormal = radius * sine;
        return (float)(radius * cosine);
    }

    /// <summary>A number of the distribution Beta(alpha, alpha), by two of Gamma(alpha).</summary>
    public double NextBeta(double alpha)
    {
        var (first, second) = (NextGamma(alpha), NextGamma(alpha));
        return first + second > 0 ? first / (first + second) : NextDouble() < 0.5 ? 0 : 1;
    }

    /// <summary>Puts values into a random order.</summary>
    public void Shuffle<T>(Span<T> values)
    {
        for (var i = values.Length - 1; i > 0; i--)
        {
            var j = Next(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    // Marsaglia and Tsang, ACM TOMS 26 (2000).
    private double NextGamma(double shape)
    {
        if (shape < 1)
            return NextGamma(shape + 1) * Math.Pow(NextDouble(), 1 / shape);
        var d = shape - 1.0 / 3;
        var c = 1 / Math.Sqrt(9 * d);
        while (true)
        {
            double x = NextNormal();
            var v = Math.Pow(1 + c * x, 3);
            if (v > 0 && Math.Log(1 - NextDouble()) < 0.5 * x * x + d - d * v + d * Math.Log(v))
                return d * v;
        }
    }

    private ulong NextBits() => Mix(_state++);

    private static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
