using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// <see cref="MultiHeadAttention"/> of a sequence to itself, with queries, keys and values as one projection makes them: nothing is cut
/// or joined, forward or backward.
/// <list type="bullet">
/// <item>Inputs: <c>packed</c> [N, L, 3 * num_heads * d]: all queries, then all keys, then all values of a position; <c>bias</c>, which
/// broadcasts to [N, num_heads, L, L]; a scalar 0 for none.</item>
/// <item>Outputs: <c>output</c> [N, L, num_heads * d]; optional <c>logsumexp</c> [N, num_heads, L] float, of the scores.</item>
/// <item>Attributes: <c>num_heads</c>; <c>scale</c>, which multiplies the products of queries and keys.</item>
/// </list>
/// </summary>
public sealed class MultiHeadSelfAttention : AttentionOp
{
    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="packed">[N, L, 3 * heads * d]: queries, keys, values.</param>
    /// <param name="headCount">The number of heads.</param>
    /// <param name="bias">Added to the scores; broadcasts to [N, heads, L, L].</param>
    /// <param name="scale">What the products are multiplied by; d^-1/2 if null.</param>
    /// <returns>[N, L, heads * d]</returns>
    public static Value Apply(Value packed, int headCount, Value? bias = null, float? scale = null) =>
        packed.Builder.Op(
            nameof(MultiHeadSelfAttention), [packed, bias ?? packed.Builder.Scalar(0, packed)],
            MultiHeadAttention.AttributesOf(headCount, scale, packed.Shape[-1].Value / 3), Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["packed", "bias"], ["output", "logsumexp"], MultiHeadAttention.AttributeNames, (builder, inputs) =>
        {
            var parts = Parts(inputs[0]);
            return new AttentionHeads(builder).Attend(parts[0], parts[1], parts[2], inputs[1]);
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => node.Builder.Ops(
        nameof(MultiHeadSelfAttentionGrad),
        [node.Grad, node.Input(0), node.Input(1), node.Output(0), node.Output(1)],
        MultiHeadAttention.HasBias(node.Input(1)) && node.IsNeeded(1) ? 2 : 1, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfSelfAttention;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => MultiHeadAttention.Outputs(
        node, inputs[0], inputs[0].Shape is { } shape && shape[-1].IsKnown ? shape[-1].Value / 3 : Dim.Unknown);

    /// <summary>Queries, keys and values, for function bodies.</summary>
    internal static Value[] Parts(Value packed) =>
        packed.Builder.Ops("Split", [packed], 3, new() { ["axis"] = -1, ["num_outputs"] = 3 });
}
