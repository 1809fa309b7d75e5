using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Vectors at the end of an array, of which only the first elements count.</summary>
internal static unsafe class Lanes<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    /// <summary>A full vector, or the first <paramref name="count"/> elements and zeros behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load(float* source, long count)
    {
        if (count >= TSimd.Width)
            return TSimd.Load(source);
        // A variable of its own: one whose address is taken would otherwise keep the full vectors out of registers.
        TVector few;
        LoadFew(source, (int)count, &few);
        return few;
    }

    /// <summary>Stores a full vector, or its first <paramref name="count"/> elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(TVector value, float* destination, long count)
    {
        if (count >= TSimd.Width)
            TSimd.Store(value, destination);
        else
            StoreFew(value, destination, (int)count);
    }

    /// <summary>The value with zeros behind the first <paramref name="count"/> elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector First(TVector value, long count)
    {
        if (count >= TSimd.Width)
            return value;
        TVector all = value, few;
        LoadFew((float*)&all, (int)count, &few);
        return few;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void LoadFew(float* source, int count, TVector* value)
    {
        *value = default;
        new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(value, TSimd.Width));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StoreFew(TVector value, float* destination, int count) =>
        new ReadOnlySpan<float>(&value, count).CopyTo(new Span<float>(destination, count));
}
