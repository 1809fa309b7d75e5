using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of reductions along axes.</summary>
internal static class ReductionGradients
{
    /// <summary>
    /// A rule from the gradient, the input, the output (both of the input's rank) and the number of elements that one output reduces.
    /// </summary>
    public static Func<NodeGradient, Value?[]> Of(Func<Value, Value, Value, double, Value> gradient) => node =>
    {
        var shape = node.Input(0).Shape;
        var axes = node.ReducedAxes();
        var kept = KeptSizes(shape, axes);
        var count = axes.Aggregate(1L, (product, axis) => product * shape[(int)axis].Value);
        var result = gradient(node.Grad.ReshapeTo(kept), node.Input(0), node.Output(0).ReshapeTo(kept), count);
        return [result.ExpandTo(shape), null];
    };

    /// <summary>Elements that share the extreme value share the gradient.</summary>
    public static Value?[] Extremum(NodeGradient node) =>
        Extremum(node, node.ReducedAxes());

    public static Value?[] Extremum(NodeGradient node, long[] axes)
    {
        var kept = KeptSizes(node.Input(0).Shape, axes);
        var chosen = node.Builder.Op("Equal", [node.Input(0), node.Output(0).ReshapeTo(kept)]).Cast(node.Grad.Type);
        return [chosen * (node.Grad.ReshapeTo(kept) / chosen.ReduceSum(axes, keepDims: true)), null];
    }

    /// <summary>The product of all other elements, which is right where elements are zero, too.</summary>
    public static Value?[] Product(NodeGradient node)
    {
        var shape = node.Input(0).Shape;
        var axes = node.ReducedAxes();
        var rest = Enumerable.Range(0, shape.Rank).Select(axis => (long)axis).Except(axes).ToArray();
        long[] toBack = [.. rest, .. axes];
        var outer = rest.Aggregate(1L, (product, axis) => product * shape[(int)axis].Value);
        var count = shape.ElementCount / outer;
        var x = node.Input(0).Transpose(toBack).ReshapeTo(outer, 1, count);
        var diagonal = new bool[count * count];
        for (var i = 0; i < count; i++)
            diagonal[(i * count) + i] = true;
        var others = node.Builder.Constant(Tensor.Create<bool>(diagonal, 1, count, count)).Where(node.Builder.Scalar(1, x), x)
            .Reduce("ReduceProd", [2], keepDims: false);
        var gradient = (others * node.Grad.ReshapeTo(outer, 1)).ReshapeTo([.. toBack.Select(axis => shape[(int)axis].Value)]);
        var back = new long[toBack.Length];
        for (var i = 0; i < back.Length; i++)
            back[toBack[i]] = i;
        return [gradient.Transpose(back), null];
    }

    public static Value?[] CumSum(NodeGradient node)
    {
        var attributes = node.Attributes.Clone();
        attributes["reverse"] = 1 - node.Attributes.Int("reverse", 0);
        return [node.Builder.Op("CumSum", [node.Grad, node.Input(1)], attributes), null];
    }

    private static long[] KeptSizes(Shape shape, long[] axes)
    {
        var kept = shape.ToArray();
        foreach (var axis in axes)
            kept[axis] = 1;
        return kept;
    }
}
