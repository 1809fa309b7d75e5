namespace Microsoft.ML.Attention.Onnx;

/// <summary>Brings graphs of older standard operator sets to <see cref="OnnxModel.DefaultOpset"/>.</summary>
internal static class OpsetUpgrade
{
    /// <summary>The oldest operator set that can be brought up to date; PyTorch has exported it or later since 2022.</summary>
    public const long Oldest = 13;

    /// <summary>Rewrites what changed between the given operator set and the current one.</summary>
    /// <exception cref="NotSupportedException">The operator set is older than <see cref="Oldest"/>, or newer than ours.</exception>
    public static void Apply(Graph graph, long opset)
    {
        if (opset is < Oldest or > OnnxModel.DefaultOpset)
        {
            throw new NotSupportedException(
                $"The model uses operator set {opset}; sets {Oldest} to {OnnxModel.DefaultOpset} can be trained. Export it again.");
        }
        if (opset >= 18)
            return;
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            if (node.Domain.Length > 0)
                continue;
            // Since 18 the axes of reductions are an input, and Split says into how many parts it cuts where it does not list their sizes.
            if (node.OpType.StartsWith("Reduce", StringComparison.Ordinal) && node.Attributes.Ints("axes") is { } axes)
            {
                var name = $"{node.Outputs[0]}/axes";
                graph.Initializers[name] = Tensor.Int64(axes);
                graph.Nodes[i] = new()
                {
                    OpType = node.OpType,
                    Name = node.Name,
                    Inputs = [node.Inputs[0], name],
                    Outputs = node.Outputs,
                    Attributes = new() { ["keepdims"] = node.Attributes.Int("keepdims", 1) },
                };
            }
            else if (node is { OpType: "Split", Inputs.Count: 1 })
            {
                node.Attributes["num_outputs"] = node.Outputs.Count;
            }
        }
    }
}
