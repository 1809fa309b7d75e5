using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>How far a computed tensor is from that of a reference case.</summary>
internal static class Comparison
{
    /// <summary>
    /// The largest difference, relative to the standard deviation of the expected values; not a number where a computed value is none.
    /// Integers are choices, such as the windows that routing takes: in each row of the last axis they have to be the same set, or the same
    /// list where order counts, and the error is the share of rows that differ.
    /// </summary>
    /// <exception cref="InvalidDataException">The tensors are of different sizes or kinds.</exception>
    public static double Error(Tensor actual, Tensor expected, int stride, bool isOrdered = false)
    {
        var kept = (actual.ElementCount + stride - 1) / stride;
        if (kept != expected.ElementCount)
            throw new InvalidDataException($"{actual.Shape} was computed, {expected.Shape} at stride {stride} is expected");
        if (stride == 1 && actual.Dims.Count == expected.Dims.Count && !actual.Dims.SequenceEqual(expected.Dims))
            throw new InvalidDataException($"{actual.Shape} was computed, {expected.Shape} is expected");
        if (expected.Type is TensorElementType.Int64 or TensorElementType.Int32)
            return ShareOfDifferentRows(actual.ToInt64(), expected.ToInt64(), (int)expected.Dims[^1], isOrdered);
        var (a, b) = (ToDouble(actual), ToDouble(expected));
        var largest = 0.0;
        for (var i = 0; i < b.Length; i++)
        {
            // Infinities are the same or not.
            var difference = a[i * stride] == b[i] ? 0 : Math.Abs(a[i * stride] - b[i]);
            if (double.IsNaN(difference))
                return double.NaN;
            largest = Math.Max(largest, difference);
        }
        return largest / Spread(b);
    }

    /// <summary>The standard deviation of a tensor's values.</summary>
    public static double Spread(Tensor tensor) => Spread(ToDouble(tensor));

    // The standard deviation; of values that are all the same their magnitude.
    private static double Spread(double[] values)
    {
        values = Array.FindAll(values, double.IsFinite);
        var mean = values.DefaultIfEmpty().Average();
        var deviation = Math.Sqrt(values.DefaultIfEmpty().Average(value => (value - mean) * (value - mean)));
        return deviation > 0 ? deviation : mean != 0 ? Math.Abs(mean) : 1;
    }

    private static double ShareOfDifferentRows(long[] actual, long[] expected, int length, bool isOrdered)
    {
        if (expected.Length == 0)
            return 0;
        var rows = expected.Length / length;
        var different = Enumerable.Range(0, rows).Count(row => !AreSame(row * length));
        return (double)different / rows;

        bool AreSame(int start)
        {
            var (a, b) = (actual[start..(start + length)], expected[start..(start + length)]);
            return isOrdered ? a.SequenceEqual(b) : a.ToHashSet().SetEquals(b);
        }
    }

    private static double[] ToDouble(Tensor tensor) => tensor.Type switch
    {
        TensorElementType.Float => Array.ConvertAll(tensor.AsSpan<float>().ToArray(), value => (double)value),
        TensorElementType.Double => tensor.AsSpan<double>().ToArray(),
        TensorElementType.UInt8 => Array.ConvertAll(tensor.AsSpan<byte>().ToArray(), value => (double)value),
        _ => throw new InvalidDataException($"{tensor.Type} tensors cannot be compared"),
    };
}
