using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>
/// Keeps the weights of a float32 model in float16, in half the space; a Cast makes them float32 when the model is opened, so that it
/// runs wherever it ran before.
/// </summary>
internal static class HalfStorage
{
    /// <summary>The model with its weights in float16; the given one stays as it is. What float16 has no room for stays in float32.</summary>
    public static OnnxModel Convert(OnnxModel model)
    {
        var converted = model.Clone();
        var graph = converted.Graph;
        var casts = new List<Node>();
        foreach (var (name, tensor) in model.Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)))
        {
            if (tensor.Type != TensorElementType.Float || graph.Outputs.Contains(name) || ToHalf(tensor) is not { } half)
                continue;
            var stored = name + ".float16";
            graph.Initializers.Remove(name);
            graph.Initializers[stored] = half;
            graph.Values[stored] = new(half.Type, half.Shape);
            casts.Add(new()
            {
                OpType = "Cast", Name = name + ".float32", Inputs = [stored], Outputs = [name],
                Attributes = new() { ["to"] = (long)TensorElementType.Float },
            });
        }
        graph.Nodes.InsertRange(0, casts);
        return converted;
    }

    private static Tensor? ToHalf(Tensor tensor)
    {
        var values = new Half[tensor.ElementCount];
        var source = tensor.AsSpan<float>();
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (Half)source[i];
            if (Half.IsInfinity(values[i]) && float.IsFinite(source[i]))
                return null;
        }
        return Tensor.Create<Half>(values, [.. tensor.Dims]);
    }
}
