using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Makes of a model in float16 one in float32, where values leave the range of float16.</summary>
internal static class SinglePrecision
{
    /// <summary>The converted model, inputs and outputs included; the given one stays as it is.</summary>
    public static OnnxModel Convert(OnnxModel model)
    {
        var converted = model.CloneInlined();
        Convert(converted.Graph);
        return converted;
    }

    private static void Convert(Graph graph)
    {
        foreach (var (name, tensor) in graph.Initializers.ToArray())
            graph.Initializers[name] = Single(tensor);
        foreach (var (name, info) in graph.Values.Where(pair => pair.Value.Type == TensorElementType.Float16).ToArray())
            graph.Values[name] = info with { Type = TensorElementType.Float };
        foreach (var node in graph.Nodes)
        {
            foreach (var (name, value) in node.Attributes.ToArray())
                node.Attributes[name] = Single(node, name, value);
        }
    }

    private static object Single(Node node, string name, object value) => value switch
    {
        Tensor tensor => Single(tensor),
        Graph inner => Single(inner),
        (long)TensorElementType.Float16 when (node.OpType, name) is ("Cast", "to") or (_, "dtype") => (long)TensorElementType.Float,
        _ => value,
    };

    private static Graph Single(Graph inner)
    {
        var copy = inner.Clone();
        Convert(copy);
        return copy;
    }

    private static Tensor Single(Tensor tensor)
    {
        if (tensor.Type != TensorElementType.Float16)
            return tensor;
        float[] values = [.. tensor.AsSpan<Half>().ToArray().Select(value => (float)value)];
        return Tensor.Create<float>(values, [.. tensor.Dims]);
    }
}
