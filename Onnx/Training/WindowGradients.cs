namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Gradient rules of pooling.</summary>
internal static class WindowGradients
{
    /// <summary>Averaging is separable: along each axis the gradient is a product with a constant matrix that spreads it evenly.</summary>
    public static Value?[] AveragePool(NodeGradient node)
    {
        var window = WindowOf(node);
        var countsPadding = node.Attributes.Int("count_include_pad", 0) != 0;
        var gradient = node.Grad;
        for (var i = 0; i < window.Rank; i++)
        {
            var matrix = new double[window.Output[i], window.Input[i]];
            for (var place = 0; place < window.Output[i]; place++)
            {
                var positions = Enumerable.Range(0, (int)window.Kernel[i])
                    .Select(k => (place * window.Strides[i]) - window.Before[i] + (k * window.Dilations[i])).ToArray();
                var inside = positions.Where(position => position >= 0 && position < window.Input[i]).ToArray();
                var count = countsPadding ? positions.Count(position => position < window.Input[i] + window.After[i]) : inside.Length;
                foreach (var position in inside)
                    matrix[place, position] = 1.0 / count;
            }
            gradient = gradient.MultiplyAxis(i + 2, matrix);
        }
        return [gradient];
    }

    public static Value?[] MaxPool(NodeGradient node)
    {
        if (node.Attributes.Int("storage_order", 0) != 0)
            throw node.Unsupported("storage_order 1");
        var window = WindowOf(node);
        var overlaps = Enumerable.Range(0, window.Rank).Any(i => window.Strides[i] < window.Extent(i));
        var zeros = node.Zeros([node.Input(0).Shape.ElementCount], node.Grad);
        var flat = node.Grad.ReshapeTo(node.Grad.Shape.ElementCount);
        var placed = node.Builder.Op("ScatterElements", [zeros, node.Output(1).ReshapeTo(node.Grad.Shape.ElementCount), flat],
            overlaps ? new() { ["axis"] = 0, ["reduction"] = "add" } : new() { ["axis"] = 0 });
        return [node.ReshapeTo(0, placed)];
    }

    public static Value?[] GlobalAveragePool(NodeGradient node)
    {
        var shape = node.Input(0).Shape;
        return [(node.Grad / (shape.ElementCount / (shape[0].Value * shape[1].Value))).ExpandTo(shape)];
    }

    public static Value?[] GlobalMaxPool(NodeGradient node) =>
        ReductionGradients.Extremum(node, [.. Enumerable.Range(2, node.Input(0).Shape.Rank - 2).Select(axis => (long)axis)]);

    private static Window WindowOf(NodeGradient node) =>
        new(node.Node, node.Sizes(0)[2..], node.Attributes.Ints("kernel_shape")!, node.Output(0).Shape.ToArray()[2..]);
}
