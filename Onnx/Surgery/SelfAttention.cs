namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>An attention of tokens to themselves in a graph, however its exporter wrote it.</summary>
internal sealed record SelfAttention
{
    /// <summary>The node that tells of it: the softmax, or the one that is the whole attention.</summary>
    public required Node Anchor { get; init; }

    /// <summary>The module, such as <c>up_blocks.0.attentions.1.transformer_blocks.0.attn1</c>; null where the graph names none.</summary>
    public required ModulePath? Path { get; init; }

    public required Projection Query { get; init; }

    public required Projection Key { get; init; }

    public required Projection Value { get; init; }

    /// <summary>The number of heads, or null where the graph does not tell it.</summary>
    public required int? HeadCount { get; init; }

    /// <summary>What the products of queries and keys are multiplied by; 0 for the width of a head to the power of -1/2.</summary>
    public required double Scale { get; init; }

    /// <summary>The value that the projection to the residual reads: [B, N, C], or [B * N, C] if <see cref="IsFlat"/>.</summary>
    public required string Output { get; init; }

    /// <summary>Whether <see cref="Output"/> has no axis for the batch of its own.</summary>
    public required bool IsFlat { get; init; }

    public int Channels => Query.Channels;

    /// <summary>What errors and reports call it.</summary>
    public string Name => Path?.ToString() ?? (Anchor.Name.Length > 0 ? Anchor.Name : Anchor.Outputs[0]);
}
