using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Raft-token mixing: an MLP along the columns of a map, which sees r channels at once. Each column is normalised position by position,
/// its elements go through Linear, GELU and Linear, and are added to it.
/// <para>Source: Tatsunami and Taki, "RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?", ACCV 2022
/// (arXiv 2108.04384), repository okojoalg/raft-mlp.</para>
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C]; <c>norm_scale</c> and <c>norm_bias</c> [C] of the layer normalisation over C, in the order of
/// rafts: channel g C / r + j has number j r + g; <c>weight1</c> [D, r H], <c>bias1</c> [D], <c>weight2</c> [r H, D], <c>bias2</c> [r H],
/// in which position y of group g has number g H + y; <c>keep</c> [N] or [], by which the result of the MLP is multiplied before it is
/// added (stochastic depth).</item>
/// <item>Outputs: <c>y</c> [N, H, W, C].</item>
/// <item>Attributes: <c>raft_size</c>, the number r of channels that are mixed together, which divides C; <c>epsilon</c> of the
/// normalisation.</item>
/// </list>
/// To mix along rows give each row as an example of its own: [N H, W, 1, C]. <c>keep</c> has no gradient.
/// </summary>
public sealed class RaftMixing : AttentionOp
{
    internal static readonly string[] InputNames =
        ["x", "norm_scale", "norm_bias", "weight1", "bias1", "weight2", "bias2", "keep"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="x">[N, H, W, C]</param>
    /// <param name="norm">Scale and bias of the normalisation, both [C], in the order of rafts.</param>
    /// <param name="first">Weight [D, r H] and bias [D] of the first linear map.</param>
    /// <param name="second">Weight [r H, D] and bias [r H] of the second linear map.</param>
    /// <param name="keep">[N] or [], what the branch is multiplied by.</param>
    /// <param name="raftSize">The number of channels that are mixed together; divides C.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <returns>[N, H, W, C]</returns>
    public static Value Apply(
        Value x, (Value Scale, Value Bias) norm, (Value Weight, Value Bias) first, (Value Weight, Value Bias) second, Value keep,
        int raftSize, float epsilon) =>
        x.Builder.Op(
            nameof(RaftMixing), [x, norm.Scale, norm.Bias, first.Weight, first.Bias, second.Weight, second.Bias, keep],
            new() { ["raft_size"] = raftSize, ["epsilon"] = epsilon }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, InputNames, ["y"], ["raft_size", "epsilon"], (builder, inputs) =>
        {
            var tokens = builder.Op(nameof(RaftTokens), [inputs[0], inputs[1], inputs[2]], new()
            {
                ["raft_size"] = new AttributeReference("raft_size", typeof(long)),
                ["epsilon"] = new AttributeReference("epsilon", typeof(float)),
            }, Domain);
            var mixed = (tokens.MatMul(inputs[3].Transpose(1, 0)) + inputs[4]).Gelu().MatMul(inputs[5].Transpose(1, 0));
            return
            [
                builder.Op(nameof(RaftResidual), [inputs[0], mixed, inputs[6], inputs[7]], new()
                {
                    ["raft_size"] = new AttributeReference("raft_size", typeof(long)),
                }, Domain),
            ];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
    [
        .. node.Builder.Ops(
            nameof(RaftMixingGrad),
            [node.Grad, node.Input(0), node.Input(1), node.Input(2), node.Input(3), node.Input(4), node.Input(5), node.Input(7)],
            7, node.Attributes.Clone(), Domain),
        null,
    ];

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new RaftMixingKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new RaftMixingKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new RaftMixingKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new RaftMixingKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new RaftMixingKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
