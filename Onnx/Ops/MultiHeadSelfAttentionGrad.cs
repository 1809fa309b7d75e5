using Microsoft.ML.Attention.Onnx.Kernels;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="MultiHeadSelfAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, L, num_heads * d], then the operator's <c>packed</c>, <c>bias</c> and its outputs
/// <c>output</c>, <c>logsumexp</c>.</item>
/// <item>Outputs: <c>packed_grad</c> and optional <c>bias_grad</c>, of the shapes of the inputs.</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class MultiHeadSelfAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "packed", "bias", "output", "logsumexp"], ["packed_grad", "bias_grad"],
        MultiHeadAttention.AttributeNames, (builder, inputs) =>
        {
            var parts = MultiHeadSelfAttention.Parts(inputs[1]);
            var gradients = new AttentionHeads(builder).Gradients(inputs[0], parts[0], parts[1], parts[2], inputs[2], inputs[3]);
            return [builder.Concat(-1, gradients[0], gradients[1], gradients[2]), gradients[3]];
        });

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfSelfGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2]];
}
