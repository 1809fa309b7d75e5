using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="RaftResidual"/> with respect to tokens and bias; that of the map is the output's.
/// <list type="bullet">
/// <item>Inputs: <c>y_grad</c> [N, H, W, C]; <c>keep</c> [N] or [].</item>
/// <item>Outputs: <c>tokens_grad</c> [N, W, C / r, r H]; <c>bias_grad</c> [r H].</item>
/// <item>Attributes: <c>raft_size</c> r.</item>
/// </list>
/// </summary>
internal sealed class RaftResidualGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["y_grad", "keep"], ["tokens_grad", "bias_grad"], ["raft_size"], (builder, inputs) =>
        {
            var tokens = new RaftLayout(builder).Tokens(inputs[0] * inputs[1].Reshape(-1, 1, 1, 1));
            return [tokens, tokens.ReduceSum([0, 1, 2])];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cuda<float>(attributes => new RaftResidualGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new RaftResidualGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var tokens = RaftLayout.Tokens(node, inputs[0].Shape);
        return [new(inputs[0].Type, tokens), new(inputs[0].Type, tokens is null ? null : [tokens[3]])];
    }
}
