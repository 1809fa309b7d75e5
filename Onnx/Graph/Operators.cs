using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>The standard operators that models use, as methods on values.</summary>
public static class Operators
{
    /// <summary>Matrix product of the last two axes; the others broadcast.</summary>
    public static Value MatMul(this Value left, Value right) => left.Builder.Op("MatMul", [left, right]);

    /// <summary>Reorders the axes: axis i of the result is axis <paramref name="permutation"/>[i].</summary>
    public static Value Transpose(this Value value, params long[] permutation) =>
        value.Builder.Op("Transpose", [value], new() { ["perm"] = permutation });

    /// <summary>Gives the elements other sizes; 0 keeps the size at that position, -1 is computed from the rest.</summary>
    public static Value Reshape(this Value value, params ReadOnlySpan<long> sizes) => value.Reshape(value.Builder.Int64(sizes));

    /// <summary>Gives the elements the sizes in an int64 vector.</summary>
    public static Value Reshape(this Value value, Value sizes) => value.Builder.Op("Reshape", [value, sizes]);

    /// <summary>The elements, those outside of a range moved to its ends.</summary>
    internal static Value Clip(this Value value, double least, double most) =>
        value.Builder.Op("Clip", [value, value.Builder.Scalar(least, value), value.Builder.Scalar(most, value)]);

    /// <summary>Inserts axes of size 1.</summary>
    public static Value Unsqueeze(this Value value, params ReadOnlySpan<long> axes) =>
        value.Builder.Op("Unsqueeze", [value, value.Builder.Int64(axes)]);

    /// <summary>Drops axes of size 1.</summary>
    public static Value Squeeze(this Value value, params ReadOnlySpan<long> axes) =>
        value.Builder.Op("Squeeze", [value, value.Builder.Int64(axes)]);

    /// <summary>Joins values along an axis.</summary>
    public static Value Concat(this GraphBuilder builder, long axis, params ReadOnlySpan<Value> values) =>
        builder.Op("Concat", values!, new() { ["axis"] = axis });

    /// <summary>Cuts a value along an axis into parts of the given sizes.</summary>
    public static Value[] Split(this Value value, long axis, params ReadOnlySpan<long> sizes) =>
        value.Builder.Ops("Split", [value, value.Builder.Int64(sizes)], sizes.Length, new() { ["axis"] = axis });

    /// <summary>Takes the positions from <paramref name="start"/> to before <paramref name="end"/> of one axis, in steps.</summary>
    public static Value Slice(this Value value, long axis, long start, long end, long step = 1)
    {
        var builder = value.Builder;
        return builder.Op("Slice", [value, builder.Int64(start), builder.Int64(end), builder.Int64(axis), builder.Int64(step)]);
    }

    /// <summary>Picks slices of an axis by index.</summary>
    public static Value Gather(this Value value, Value indices, long axis = 0) =>
        value.Builder.Op("Gather", [value, indices], new() { ["axis"] = axis });

    /// <summary>Picks single elements of an axis by index; the result has the shape of the indices.</summary>
    public static Value GatherElements(this Value value, Value indices, long axis) =>
        value.Builder.Op("GatherElements", [value, indices], new() { ["axis"] = axis });

    /// <summary>Pads with zeros; <paramref name="pads"/> lists the counts before each axis, then those after each axis.</summary>
    public static Value Pad(this Value value, params ReadOnlySpan<long> pads) =>
        value.Builder.Op("Pad", [value, value.Builder.Int64(pads)]);

    /// <summary>Repeats along axes of size 1 up to the given sizes.</summary>
    public static Value Expand(this Value value, Value sizes) => value.Builder.Op("Expand", [value, sizes]);

    /// <summary>The sizes of a value as an int64 vector, or those from <paramref name="start"/> to before <paramref name="end"/>.</summary>
    public static Value ShapeOf(this Value value, long? start = null, long? end = null)
    {
        var attributes = new Attributes();
        if (start is { } from)
            attributes["start"] = from;
        if (end is { } to)
            attributes["end"] = to;
        return value.Builder.Op("Shape", [value], attributes);
    }

    /// <summary>Mean over axes.</summary>
    public static Value ReduceMean(this Value value, long[] axes, bool keepDims = false) => value.Reduce("ReduceMean", axes, keepDims);

    /// <summary>Sum over axes.</summary>
    public static Value ReduceSum(this Value value, long[] axes, bool keepDims = false) => value.Reduce("ReduceSum", axes, keepDims);

    /// <summary>Maximum over axes.</summary>
    public static Value ReduceMax(this Value value, long[] axes, bool keepDims = false) => value.Reduce("ReduceMax", axes, keepDims);

    /// <summary>Reduces axes with one of ONNX's Reduce operators (with axes as an input).</summary>
    public static Value Reduce(this Value value, string opType, long[] axes, bool keepDims) =>
        value.Builder.Op(opType, [value, value.Builder.Int64(axes)], new() { ["keepdims"] = keepDims });

    /// <summary>Softmax along an axis.</summary>
    public static Value Softmax(this Value value, long axis = -1) => value.Builder.Op("Softmax", [value], new() { ["axis"] = axis });

    /// <summary>Logarithm of the softmax along an axis.</summary>
    public static Value LogSoftmax(this Value value, long axis = -1) => value.Builder.Op("LogSoftmax", [value], new() { ["axis"] = axis });

    /// <summary>The exact (erf) Gaussian error linear unit.</summary>
    public static Value Gelu(this Value value) => value.Builder.Op("Gelu", [value]);

    /// <summary>An elementwise operator without attributes, such as Exp, Sqrt, Sigmoid, Relu, Tanh, Erf.</summary>
    public static Value Apply(this Value value, string opType) => value.Builder.Op(opType, [value]);

    /// <summary>
    /// Elementwise choice: where the condition holds <paramref name="whenTrue"/>, elsewhere <paramref name="whenFalse"/>.
    /// </summary>
    public static Value Where(this Value condition, Value whenTrue, Value whenFalse) =>
        condition.Builder.Op("Where", [condition, whenTrue, whenFalse]);

    /// <summary>Converts the element type.</summary>
    public static Value Cast(this Value value, TensorElementType type) => value.Builder.Op("Cast", [value], new() { ["to"] = (long)type });

    /// <summary>Layer normalisation over the last axis.</summary>
    public static Value LayerNormalization(this Value value, Value scale, Value? bias, float epsilon) =>
        value.Builder.Op("LayerNormalization", [value, scale, bias], new() { ["axis"] = -1, ["epsilon"] = epsilon });

    /// <summary>Convolution of [N, C, H, W] with weights [M, C / group, kH, kW], with the same stride, padding and dilation on both axes.</summary>
    public static Value Conv2d(
        this Value value, Value weight, Value? bias, long stride = 1, long padding = 0, long group = 1, long dilation = 1)
    {
        var kernel = weight.Shape;
        return value.Builder.Op("Conv", [value, weight, bias], new()
        {
            ["kernel_shape"] = new[] { kernel[2].Value, kernel[3].Value },
            ["strides"] = new[] { stride, stride },
            ["dilations"] = new[] { dilation, dilation },
            ["pads"] = new[] { padding, padding, padding, padding },
            ["group"] = group,
        });
    }

    /// <summary>The k largest elements along an axis, largest first, and their indices.</summary>
    public static (Value Values, Value Indices) TopK(this Value value, Value k, long axis = -1)
    {
        var outputs = value.Builder.Ops("TopK", [value, k], 2, new() { ["axis"] = axis, ["largest"] = 1, ["sorted"] = 1 });
        return (outputs[0], outputs[1]);
    }
}
