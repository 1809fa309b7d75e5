namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>
/// The way up of a UNet by its structure: from the first joint of backbone and skip connection on. Of all Concats over the channels only
/// these are read by a convolution of size 1 x 1 directly, the shortcut round a residual block.
/// </summary>
internal sealed class UpPath
{
    private readonly Dictionary<string, int> _blocks = new(StringComparer.Ordinal);

    public UpPath(GraphIndex index)
    {
        foreach (var node in index.Graph.Nodes)
        {
            var isJoint = IsJoint(index, node);
            var block = BlockOf(node) ?? (isJoint ? 0 : null);
            if (block is null)
                continue;
            if (isJoint)
                Joints.Add((node, block.Value));
            foreach (var output in node.Outputs)
                _blocks[output] = block.Value + (node.OpType is "Resize" or "Upsample" ? 1 : 0);
        }
    }

    /// <summary>
    /// The nodes that join the backbone (first input) and a skip connection (second), in the order in which they run, with their block.
    /// </summary>
    public List<(Node Node, int Block)> Joints { get; } = [];

    /// <summary>
    /// The up block that a node is in: how often the map was enlarged on the way up before it; null for nodes that are not on it.
    /// </summary>
    public int? BlockOf(Node node)
    {
        int? block = null;
        foreach (var input in node.Inputs)
        {
            if (_blocks.TryGetValue(input, out var known) && (block is null || known > block))
                block = known;
        }
        return block;
    }

    private static bool IsJoint(GraphIndex index, Node node) =>
        node is { OpType: "Concat", Inputs.Count: 2 } && node.Attributes.Int("axis", 0) is 1 or -3
        && index.Readers(node.Outputs[0]).Any(reader => reader.OpType == "Conv" && reader.Inputs[0] == node.Outputs[0]
            && index.ShapeOf(reader.Inputs[1]) is { Rank: 4 } kernel && kernel[2] == 1 && kernel[3] == 1);
}
