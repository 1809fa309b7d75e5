namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Draws what <c>torch.rand</c> and <c>torch.randn</c> draw in float32 from a CPU generator after <c>manual_seed(seed)</c>, so that pictures
/// can be compared with those of PyTorch programs.
/// </summary>
internal sealed class TorchRandom
{
    // What PyTorch makes normal numbers of at a time: as many radii as angles.
    private const int Block = 16;

    private readonly MersenneTwister _bits;

    public TorchRandom(long seed) : this(new MersenneTwister((uint)seed))
    {
    }

    private TorchRandom(MersenneTwister bits) => _bits = bits;

    /// <summary>A generator that goes on from here by itself.</summary>
    public TorchRandom Clone() => new(_bits.Clone());

    /// <summary>Numbers in [0, 1) of 24 bits.</summary>
    public void FillUniform(Span<float> values)
    {
        foreach (ref var value in values)
            value = (_bits.Next() & 0xFFFFFF) * (1f / (1 << 24));
    }

    /// <summary>Standard normal numbers.</summary>
    /// <exception cref="ArgumentException">There are fewer than 16 values, which PyTorch draws in another way.</exception>
    public void FillNormal(Span<float> values)
    {
        if (values.Length < Block)
            throw new ArgumentException($"PyTorch's order of draws is followed for {Block} values or more at a time, not for {values.Length}.");
        FillUniform(values);
        var whole = values.Length / Block * Block;
        for (var i = 0; i < whole; i += Block)
            ToNormal(values.Slice(i, Block));
        if (whole == values.Length)
            return;
        FillUniform(values[^Block..]);
        ToNormal(values[^Block..]);
    }

    /// <summary>Goes on as if so many standard normal numbers had been drawn at a time.</summary>
    public void SkipNormal(int count)
    {
        for (var i = count % Block == 0 ? count : count + Block; i > 0; i--)
            _bits.Next();
    }

    // Box and Muller: radii from the first half, angles from the second.
    private static void ToNormal(Span<float> block)
    {
        var radii = block[..(Block / 2)];
        var angles = block[(Block / 2)..];
        for (var i = 0; i < radii.Length; i++)
        {
            var radius = MathF.Sqrt(-2 * MathF.Log(1 - radii[i]));
            var (sine, cosine) = MathF.SinCos(2 * MathF.PI * angles[i]);
            (radii[i], angles[i]) = (radius * cosine, radius * sine);
        }
    }
}
