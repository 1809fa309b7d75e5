using Microsoft.ML.Attention.Onnx.Kernels;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="MultiHeadAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, L, num_heads * e], then the operator's <c>query</c>, <c>key</c>, <c>value</c>, <c>bias</c> and
/// its outputs <c>output</c>, <c>logsumexp</c>.</item>
/// <item>Outputs: <c>query_grad</c>, <c>key_grad</c>, <c>value_grad</c> and optional <c>bias_grad</c>, of the shapes of the inputs.</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class MultiHeadAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["output_grad", "query", "key", "value", "bias", "output", "logsumexp"],
        ["query_grad", "key_grad", "value_grad", "bias_grad"],
        MultiHeadAttention.AttributeNames,
        (builder, inputs) => new AttentionHeads(builder).Gradients(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]));

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[3], inputs[4]];
}
