using System.Numerics;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>The largest values of a row, largest first, ties to the lower index.</summary>
internal static unsafe class TopSelection
{
    /// <param name="values">The row.</param>
    /// <param name="count">Its length.</param>
    /// <param name="k">How many to select, at most <paramref name="count"/>.</param>
    /// <param name="indices">Gets the <paramref name="k"/> indices.</param>
    /// <param name="scratch">Room for <paramref name="k"/> values.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Select<T>(T* values, int count, int k, int* indices, T* scratch) where T : unmanaged, INumber<T>
    {
        var selected = 0;
        for (var index = 0; index < count; index++)
        {
            var value = values[index];
            if (selected == k && scratch[k - 1] >= value)
                continue;
            var place = Place(scratch, selected, value);
            if (place == k)
                continue;
            var moved = Math.Min(selected, k - 1) - place;
            new Span<T>(scratch + place, moved).CopyTo(new Span<T>(scratch + place + 1, moved));
            new Span<int>(indices + place, moved).CopyTo(new Span<int>(indices + place + 1, moved));
            scratch[place] = value;
            indices[place] = index;
            selected = Math.Min(selected + 1, k);
        }
    }

    /// <summary>The number of values that come before <paramref name="value"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Place<T>(T* sorted, int count, T value) where T : unmanaged, INumber<T>
    {
        var low = 0;
        while (low < count)
        {
            var middle = (low + count) / 2;
            if (sorted[middle] >= value)
                low = middle + 1;
            else
                count = middle;
        }
        return low;
    }
}
