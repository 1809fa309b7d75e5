using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The dimensions of a tensor, held by value.</summary>
internal readonly struct TensorShape
{
    public const int MaxRank = 8;

    private readonly Storage _dims;

    public TensorShape(ReadOnlySpan<long> dims)
    {
        Rank = dims.Length;
        dims.CopyTo(_dims);
    }

    public int Rank { get; }

    [UnscopedRef]
    public ReadOnlySpan<long> Dims => ((ReadOnlySpan<long>)_dims)[..Rank];

    public long ElementCount => CountOf(Dims);

    /// <summary>The number of elements of a tensor of these dimensions.</summary>
    public static long CountOf(ReadOnlySpan<long> dims)
    {
        long count = 1;
        foreach (var dim in dims)
            count *= dim;
        return count;
    }

    /// <summary>The dimension of an axis as <see cref="int"/>, the index type of the kernels.</summary>
    /// <exception cref="KernelException">The dimension does not fit.</exception>
    public int this[int axis] =>
        Dims[axis] <= int.MaxValue ? (int)Dims[axis] : throw new KernelException($"dimension {Dims[axis]} of axis {axis} is too large");

    public override string ToString() => Format(Dims);

    /// <summary>For example <c>[2, ?, 64]</c>; negative dimensions are unknown ones.</summary>
    public static string Format(ReadOnlySpan<long> dims)
    {
        var parts = new string[dims.Length];
        for (var i = 0; i < dims.Length; i++)
            parts[i] = dims[i] < 0 ? "?" : dims[i].ToString(System.Globalization.CultureInfo.InvariantCulture);
        return $"[{string.Join(", ", parts)}]";
    }

    [InlineArray(MaxRank)]
    private struct Storage
    {
        private long _first;
    }
}
