namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>
/// The way up of a UNet by its structure: from the first joint of backbone and skip connection on. Only such joints change the number of
/// channels that a shortcut convolution reads directly.
/// </summary>
internal sealed class UpPath
{
    private readonly Dictionary<string, int> _resizes = new(StringComparer.Ordinal);

    public UpPath(GraphIndex index)
    {
        foreach (var node in index.Graph.Nodes)
        {
            var isJoint = IsJoint(index, node);
            if (isJoint)
                Joints.Add(node);
            var depths = node.Inputs.Where(_resizes.ContainsKey).Select(input => _resizes[input]).ToArray();
            if (depths.Length == 0 && !isJoint)
                continue;
            var depth = depths.DefaultIfEmpty().Max() + (node.OpType is "Resize" or "Upsample" ? 1 : 0);
            foreach (var output in node.Outputs)
                _resizes[output] = depth;
        }
    }

    /// <summary>The nodes that join the backbone (first input) and a skip connection (second), in the order in which they run.</summary>
    public List<Node> Joints { get; } = [];

    /// <summary>How often the picture was enlarged on the way up before a node; null for nodes that are not on it.</summary>
    public int? ResizesBefore(Node node)
    {
        var depths = node.Inputs.Where(_resizes.ContainsKey).Select(input => _resizes[input]).ToArray();
        return depths.Length == 0 ? null : depths.Max();
    }

    private static bool IsJoint(GraphIndex index, Node node) =>
        node is { OpType: "Concat", Inputs.Count: 2 } && node.Attributes.Int("axis", 0) is 1 or -3
        && index.Readers(node.Outputs[0]).Any(reader => reader.OpType == "Conv" && reader.Inputs[0] == node.Outputs[0]
            && index.ShapeOf(reader.Inputs[1]) is { Rank: 4 } kernel && kernel[2] == 1 && kernel[3] == 1);
}
