using System.Text;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>
/// Random numbers that depend on a seed and a name only, so that a parameter starts with the same values whatever else the model has:
/// the splitmix64 generator, started at the 64-bit FNV-1a hash of <c>seed:name</c>.
/// </summary>
internal struct NamedRandom
{
    private ulong _state;

    public NamedRandom(int seed, string name)
    {
        _state = 0xCBF29CE484222325;
        foreach (var part in Encoding.UTF8.GetBytes($"{seed}:{name}"))
            _state = (_state ^ part) * 0x100000001B3;
    }

    public ulong NextBits()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1), in steps of 2^-53.</summary>
    public double NextUniform() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>Normal with mean 0 and deviation 1.</summary>
    public double NextNormal()
    {
        var radius = Math.Sqrt(-2 * Math.Log(1 - NextUniform()));
        return radius * Math.Cos(2 * Math.PI * NextUniform());
    }
}
