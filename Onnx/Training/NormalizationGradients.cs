using Microsoft.ML.Attention.Onnx.Ops;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of normalisations.</summary>
internal static class NormalizationGradients
{
    public static Value?[] LayerNormalization(NodeGradient node)
    {
        var axis = node.Axis(-1);
        var (x, scale) = (node.Input(0), node.Input(1));
        if (scale.Shape.ElementCount != x.Shape.Skip(axis).Aggregate(1L, (product, dim) => product * dim.Value))
            throw node.Unsupported($"a scale of shape {scale.Shape} is broadcast over {x.Shape}");
        if (node.OutputGrad(1) is not null || node.OutputGrad(2) is not null)
            throw node.Unsupported("its mean and deviation are used");
        return LayerNormalizationGrad.Apply(node.Grad, x, scale, axis, node.Attributes.Float("epsilon", 1e-5f));
    }

    public static Value?[] BatchNormalization(NodeGradient node)
    {
        var (x, scale, g) = (node.Input(0), node.Input(1), node.Grad);
        var epsilon = node.Attributes.Float("epsilon", 1e-5f);
        if (node.Attributes.Int("training_mode", 0) != 0)
            return BatchNormalizationGrad.Apply(g, x, scale, epsilon);
        var perChannel = PerChannel(x.Shape);
        var rest = perChannel.Select((size, axis) => (size, axis)).Where(pair => pair.axis != 1).Select(pair => (long)pair.axis).ToArray();
        var inverse = (node.Input(4) + epsilon).Apply("Sqrt").Apply("Reciprocal");
        var centered = x - node.Input(3).ReshapeTo(perChannel);
        return [g * (scale * inverse).ReshapeTo(perChannel), (g * centered).ReduceSum(rest) * inverse, g.ReduceSum(rest), null, null];
    }

    public static Value?[] InstanceNormalization(NodeGradient node) => Grouped(node, node.Sizes(0)[1]);

    public static Value?[] GroupNormalization(NodeGradient node) => Grouped(node, node.Attributes.Int("num_groups"));

    // Works on [N, groups, channels of a group, positions]; the scale is one number a channel or, before opset 21, a group.
    private static Value?[] Grouped(NodeGradient node, long groups)
    {
        var sizes = node.Sizes(0);
        long[] split = [sizes[0], groups, sizes[1] / groups, sizes[2..].Aggregate(1L, (product, size) => product * size)];
        var (x, g, scale) = (node.Input(0).ReshapeTo(split), node.Grad.ReshapeTo(split), node.Input(1));
        long[] scaleSizes = [1, groups, scale.Shape.ElementCount / groups, 1];

        var centered = x - x.ReduceMean([2, 3], keepDims: true);
        var variance = (centered * centered).ReduceMean([2, 3], keepDims: true);
        var inverse = (variance + node.Attributes.Float("epsilon", 1e-5f)).Apply("Sqrt").Apply("Reciprocal");
        var normalized = centered * inverse;
        var scaled = g * scale.ReshapeTo(scaleSizes);
        var gradient = inverse * (scaled - scaled.ReduceMean([2, 3], keepDims: true)
            - (normalized * (scaled * normalized).ReduceMean([2, 3], keepDims: true)));
        return
        [
            node.ReshapeTo(0, gradient),
            node.ReshapeTo(1, (g * normalized).SumTo(Shape.Of(scaleSizes))),
            node.ReshapeTo(2, g.SumTo(Shape.Of(scaleSizes))),
        ];
    }

    public static Value?[] LpNormalization(NodeGradient node)
    {
        var (x, y, g) = (node.Input(0), node.Output(0), node.Grad);
        long[] axis = [node.Axis(-1)];
        var projection = (g * y).ReduceSum(axis, keepDims: true);
        return node.Attributes.Int("p", 2) == 1
            ? [(g - (x.Apply("Sign") * projection)) / x.Reduce("ReduceL1", axis, keepDims: true)]
            : [(g - (y * projection)) / x.Reduce("ReduceL2", axis, keepDims: true)];
    }

    private static long[] PerChannel(Shape shape) => [.. Enumerable.Range(0, shape.Rank).Select(axis => axis == 1 ? shape[1].Value : 1)];
}
