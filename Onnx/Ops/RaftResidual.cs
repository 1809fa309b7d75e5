using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The last step of <see cref="RaftMixing"/> where it is computed in steps, as in training: what the second linear map gave is put back
/// in the order of the map and added to it.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C]; <c>tokens</c> [N, W, C / r, r H]; <c>bias</c> [r H], which the tokens lack yet; <c>keep</c> [N]
/// or [], by which tokens and bias are multiplied.</item>
/// <item>Outputs: <c>y</c> [N, H, W, C].</item>
/// <item>Attributes: <c>raft_size</c> r.</item>
/// </list>
/// <c>keep</c> has no gradient.
/// </summary>
internal sealed class RaftResidual : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "tokens", "bias", "keep"], ["y"], ["raft_size"], (builder, inputs) =>
        {
            var branch = new RaftLayout(builder).Map(inputs[1] + inputs[2], inputs[0]);
            return [inputs[0] + (branch * inputs[3].Reshape(-1, 1, 1, 1))];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node)
    {
        var gradients = node.Builder.Ops(
            nameof(RaftResidualGrad), [node.Grad, node.Input(3)], 2, new() { ["raft_size"] = node.Attributes.Int("raft_size") }, Domain);
        return [node.Grad, gradients[0], gradients[1], null];
    }

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cuda<float>(attributes => new RaftResidualKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new RaftResidualKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
