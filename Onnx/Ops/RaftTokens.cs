using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The first step of <see cref="RaftMixing"/> where it is computed in steps, as in training: the layer normalisation of a map, in the
/// order that a linear map of the columns takes.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C]; <c>scale</c> and <c>bias</c> [C], in the order of rafts.</item>
/// <item>Outputs: <c>tokens</c> [N, W, C / r, r H].</item>
/// <item>Attributes: <c>raft_size</c> r; <c>epsilon</c>.</item>
/// </list>
/// </summary>
internal sealed class RaftTokens : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "scale", "bias"], ["tokens"], ["raft_size", "epsilon"], (builder, inputs) =>
        {
            var layout = new RaftLayout(builder);
            var normalized = builder.Op(
                "LayerNormalization", [inputs[0], layout.ToChannels(inputs[1]), layout.ToChannels(inputs[2])], new()
                {
                    ["axis"] = -1,
                    ["epsilon"] = new AttributeReference("epsilon", typeof(float)),
                });
            return [layout.Tokens(normalized)];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
        node.Builder.Ops(nameof(RaftTokensGrad), [node.Grad, node.Input(0), node.Input(1)], 3, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cuda<float>(attributes => new RaftTokensKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new RaftTokensKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
        [new(inputs[0].Type, RaftLayout.Tokens(node, inputs[0].Shape))];
}
