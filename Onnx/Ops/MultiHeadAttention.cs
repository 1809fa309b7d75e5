using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Attention of L queries to S keys by heads: softmax(query key^T * scale + bias) value. The scores are never in memory.
/// <para>Source: Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (arXiv 1706.03762).</para>
/// <list type="bullet">
/// <item>Inputs: <c>query</c> [N, L, num_heads * d], <c>key</c> [N, S, num_heads * d], <c>value</c> [N, S, num_heads * e],
/// <c>bias</c>, which broadcasts to [N, num_heads, L, S]; a scalar 0 for none.</item>
/// <item>Outputs: <c>output</c> [N, L, num_heads * e]; optional <c>logsumexp</c> [N, num_heads, L] float, of the scores.</item>
/// <item>Attributes: <c>num_heads</c>; <c>scale</c>, which multiplies the products of queries and keys.</item>
/// </list>
/// Channels of a head are next to each other. <see cref="MultiHeadSelfAttention"/> takes the three of one projection as it comes.
/// </summary>
public sealed class MultiHeadAttention : AttentionOp
{
    internal static readonly string[] AttributeNames = ["num_heads", "scale"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="query">[N, L, heads * d]</param>
    /// <param name="key">[N, S, heads * d]</param>
    /// <param name="value">[N, S, heads * e]</param>
    /// <param name="headCount">The number of heads.</param>
    /// <param name="bias">Added to the scores; broadcasts to [N, heads, L, S].</param>
    /// <param name="scale">What the products are multiplied by; d^-1/2 if null.</param>
    /// <returns>[N, L, heads * e]</returns>
    public static Value Apply(Value query, Value key, Value value, int headCount, Value? bias = null, float? scale = null) =>
        query.Builder.Op(
            nameof(MultiHeadAttention), [query, key, value, bias ?? query.Builder.Scalar(0, query)],
            AttributesOf(headCount, scale, query.Shape[-1]), Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["query", "key", "value", "bias"], ["output", "logsumexp"], AttributeNames,
        (builder, inputs) => new AttentionHeads(builder).Attend(inputs[0], inputs[1], inputs[2], inputs[3]));

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => node.Builder.Ops(
        nameof(MultiHeadAttentionGrad),
        [node.Grad, node.Input(0), node.Input(1), node.Input(2), node.Input(3), node.Output(0), node.Output(1)],
        HasBias(node.Input(3)) && node.IsNeeded(3) ? 4 : 3, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfAttention;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
        Outputs(node, inputs[0], inputs[2].Shape?[-1] ?? Dim.Unknown);

    internal static Attributes AttributesOf(int headCount, float? scale, Dim width) => new()
    {
        ["num_heads"] = headCount,
        ["scale"] = scale ?? 1 / MathF.Sqrt(width.Value / headCount),
    };

    internal static bool HasBias(Value bias) => bias.Shape.Rank > 0;

    internal static ValueInfo[] Outputs(Node node, ValueInfo query, Dim width)
    {
        Shape? output = null, logSumExp = null;
        if (query.Shape is { } shape)
        {
            if (shape.Rank != 3)
                throw new InvalidOperationException($"{node.OpType}: query has the shape {shape}, expected [N, L, heads * d].");
            (output, logSumExp) = ([shape[0], shape[1], width], [shape[0], node.Attributes.Int("num_heads"), shape[1]]);
        }
        return [new(query.Type, output), new(TensorElementType.Float, logSumExp)];
    }
}
