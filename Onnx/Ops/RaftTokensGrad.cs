using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="RaftTokens"/>.
/// <list type="bullet">
/// <item>Inputs: <c>tokens_grad</c> [N, W, C / r, r H]; <c>x</c> [N, H, W, C]; <c>scale</c> [C], in the order of rafts.</item>
/// <item>Outputs: <c>x_grad</c> [N, H, W, C]; <c>scale_grad</c> and <c>bias_grad</c> [C], in the order of rafts.</item>
/// <item>Attributes: <c>raft_size</c> r; <c>epsilon</c>.</item>
/// </list>
/// </summary>
internal sealed class RaftTokensGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["tokens_grad", "x", "scale"], ["x_grad", "scale_grad", "bias_grad"], ["raft_size", "epsilon"], (builder, inputs) =>
        {
            var layout = new RaftLayout(builder);
            var gradients = builder.Ops(
                nameof(LayerNormalizationGrad), [layout.Map(inputs[0], inputs[1]), inputs[1], layout.ToChannels(inputs[2])], 3, new()
                {
                    ["axis"] = -1,
                    ["epsilon"] = new AttributeReference("epsilon", typeof(float)),
                }, Domain);
            return [gradients[0], layout.ToRafts(gradients[1]), layout.ToRafts(gradients[2])];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cuda<float>(attributes => new RaftTokensGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new RaftTokensGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[2]];
}
