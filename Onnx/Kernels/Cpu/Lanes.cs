using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Vectors at the end of an array, of which only the first elements count.</summary>
internal static unsafe class Lanes<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    /// <summary>A full vector, or the first <paramref name="count"/> elements and zeros behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Load(float* source, long count) => count >= TSimd.Width ? TSimd.Load(source) : LoadFew(source, (int)count);

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
    public static TVector First(TVector value, long count) => count >= TSimd.Width ? value : LoadFew((float*)&value, (int)count);

    private static TVector LoadFew(float* source, int count)
    {
        var value = default(TVector);
        new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(&value, TSimd.Width));
        return value;
    }

    private static void StoreFew(TVector value, float* destination, int count) =>
        new ReadOnlySpan<float>(&value, count).CopyTo(new Span<float>(destination, count));
}
