using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Takes batch normalisations by running statistics into the convolutions before them.</summary>
internal static class BatchNormalizationFolding
{
    /// <summary>Rewrites a graph whose convolutions have weights that are initialisers.</summary>
    public static void Apply(Graph graph)
    {
        var producers = graph.Nodes.SelectMany(node => node.Outputs.Select(output => (output, node)))
            .Where(pair => pair.output.Length > 0).ToDictionary(pair => pair.output, pair => pair.node, StringComparer.Ordinal);
        var uses = graph.Nodes.SelectMany(node => node.Inputs).Concat(graph.Outputs).CountBy(name => name)
            .ToDictionary(StringComparer.Ordinal);
        foreach (var norm in graph.Nodes.ToArray())
        {
            if (norm is { OpType: "BatchNormalization", Domain: "" } && norm.Inputs.Skip(1).All(IsKnown)
                && producers.TryGetValue(norm.Inputs[0], out var convolution) && convolution is { OpType: "Conv", Domain: "" }
                && convolution.Inputs.Skip(1).All(IsKnown) && uses[norm.Inputs[0]] == 1)
            {
                Fold(convolution, norm);
                graph.Nodes.Remove(norm);
            }
        }
        GraphSimplifier.RemoveUnused(graph);

        bool IsKnown(string name) => graph.Initializers.TryGetValue(name, out var tensor) && tensor.Type == TensorElementType.Float;

        void Fold(Node convolution, Node norm)
        {
            var (scale, shift) = ScaleAndShift(graph, norm);
            var weight = graph.Initializers[convolution.Inputs[1]];
            var values = weight.AsSpan<float>().ToArray();
            for (var i = 0; i < values.Length; i++)
                values[i] *= scale[i / (values.Length / scale.Length)];
            if (convolution.Inputs.Count > 2)
            {
                var bias = graph.Initializers[convolution.Inputs[2]].AsSpan<float>();
                for (var channel = 0; channel < shift.Length; channel++)
                    shift[channel] += bias[channel] * scale[channel];
            }
            var output = norm.Outputs[0];
            var (newWeight, newBias) = (output + "/weight", output + "/bias");
            graph.Initializers[newWeight] = Tensor.Create<float>(values, [.. weight.Dims]);
            graph.Initializers[newBias] = Tensor.Create<float>(shift, shift.Length);
            foreach (var name in new[] { newWeight, newBias })
                graph.Values[name] = new(graph.Initializers[name].Type, graph.Initializers[name].Shape);
            convolution.Inputs.RemoveRange(1, convolution.Inputs.Count - 1);
            convolution.Inputs.AddRange([newWeight, newBias]);
            convolution.Outputs[0] = output;
        }
    }

    /// <summary>What a batch normalisation multiplies each channel by, and adds to it then.</summary>
    public static (float[] Scale, float[] Shift) ScaleAndShift(Graph graph, Node norm)
    {
        float[] Values(int input) => graph.Initializers[norm.Inputs[input]].AsSpan<float>().ToArray();
        var (weight, bias, mean, variance) = (Values(1), Values(2), Values(3), Values(4));
        var epsilon = norm.Attributes.Float("epsilon", 1e-5f);
        var (scale, shift) = (new float[weight.Length], new float[weight.Length]);
        for (var channel = 0; channel < scale.Length; channel++)
        {
            scale[channel] = weight[channel] / MathF.Sqrt(variance[channel] + epsilon);
            shift[channel] = bias[channel] - (mean[channel] * scale[channel]);
        }
        return (scale, shift);
    }
}
