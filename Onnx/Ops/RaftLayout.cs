namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The order of elements in raft-token mixing, in standard operators, for the function bodies of its operators. The C channels of a map
/// are r groups side by side, g = 0..r-1, of C / r channels each; a raft is a channel of every group, and its r H elements in one column
/// are mixed together.
/// </summary>
internal sealed class RaftLayout(GraphBuilder builder)
{
    private readonly Value _raftSize = builder.Attribute("raft_size", typeof(long)).Reshape(1);

    /// <summary>[N, H, W, C] to [N, W, C / r, r H].</summary>
    public Value Tokens(Value map) =>
        map.Reshape(Sizes(builder.Int64(0, 0, 0), _raftSize, builder.Int64(-1))).Transpose(0, 2, 4, 3, 1)
            .Reshape(builder.Int64(0, 0, 0, -1));

    /// <summary>[N, W, C / r, r H] to the sizes of <paramref name="map"/>, [N, H, W, C].</summary>
    public Value Map(Value tokens, Value map) =>
        tokens.Reshape(Sizes(builder.Int64(0, 0, 0), _raftSize, builder.Int64(-1))).Transpose(0, 4, 1, 3, 2).Reshape(map.ShapeOf());

    /// <summary>[C] in the order of rafts, g changing fastest, to the order of channels.</summary>
    public Value ToChannels(Value rafts) => rafts.Reshape(Sizes(builder.Int64(-1), _raftSize)).Transpose(1, 0).Reshape(-1);

    /// <summary>[C] in the order of channels to the order of rafts.</summary>
    public Value ToRafts(Value channels) => channels.Reshape(Sizes(_raftSize, builder.Int64(-1))).Transpose(1, 0).Reshape(-1);

    /// <summary>The shape of the tokens of a map, [N, W, C / r, r H] of [N, H, W, C].</summary>
    /// <exception cref="InvalidOperationException">The node's raft size does not divide the channels.</exception>
    public static Shape? Tokens(Node node, Shape? map)
    {
        if (map is null)
            return null;
        var raftSize = node.Attributes.Int("raft_size");
        if (raftSize < 1 || (map[3].IsKnown && map[3].Value % raftSize != 0))
            throw new InvalidOperationException($"{node.OpType}: raft_size is {raftSize}, which does not divide {map[3]} channels.");
        return
        [
            map[0], map[2],
            map[3].IsKnown ? map[3].Value / raftSize : Dim.Unknown,
            map[1].IsKnown ? map[1].Value * raftSize : Dim.Unknown,
        ];
    }

    private Value Sizes(params ReadOnlySpan<Value> parts) => builder.Concat(0, parts);
}
