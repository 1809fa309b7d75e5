namespace Microsoft.ML.Attention.Vision;

/// <summary>MT19937 (Matsumoto and Nishimura, 1998), the generator inside both Python's <c>random</c> and PyTorch's CPU generator.</summary>
internal sealed class MersenneTwister
{
    private const int Length = 624, Middle = 397;

    private readonly uint[] _state;
    private int _next = Length;

    /// <summary>Seeds with one word (<c>init_genrand</c>).</summary>
    public MersenneTwister(uint seed)
    {
        _state = new uint[Length];
        _state[0] = seed;
        for (var i = 1; i < Length; i++)
            _state[i] = 1812433253 * (_state[i - 1] ^ (_state[i - 1] >> 30)) + (uint)i;
    }

    /// <summary>Seeds with any number of words (<c>init_by_array</c>).</summary>
    public MersenneTwister(ReadOnlySpan<uint> key) : this(19650218)
    {
        var (i, j) = (1, 0);
        for (var k = Math.Max(Length, key.Length); k > 0; k--)
        {
            _state[i] = (_state[i] ^ (Mixed(i) * 1664525)) + key[j] + (uint)j;
            i = Following(i);
            j = (j + 1) % key.Length;
        }
        for (var k = Length - 1; k > 0; k--)
        {
            _state[i] = (_state[i] ^ (Mixed(i) * 1566083941)) - (uint)i;
            i = Following(i);
        }
        _state[0] = 0x80000000;
    }

    private MersenneTwister(MersenneTwister other) => (_state, _next) = ([.. other._state], other._next);

    /// <summary>A generator that goes on from here by itself.</summary>
    public MersenneTwister Clone() => new(this);

    /// <summary>The next 32 bits.</summary>
    public uint Next()
    {
        if (_next == Length)
            Refill();
        var y = _state[_next++];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C5680;
        y ^= (y << 15) & 0xEFC60000;
        return y ^ (y >> 18);
    }

    private uint Mixed(int i) => _state[i - 1] ^ (_state[i - 1] >> 30);

    private int Following(int i)
    {
        if (i + 1 < Length)
            return i + 1;
        _state[0] = _state[Length - 1];
        return 1;
    }

    private void Refill()
    {
        for (var i = 0; i < Length; i++)
        {
            var y = (_state[i] & 0x80000000) | (_state[(i + 1) % Length] & 0x7FFFFFFF);
            _state[i] = _state[(i + Middle) % Length] ^ (y >> 1) ^ (y % 2 * 0x9908B0DF);
        }
        _next = 0;
    }
}
