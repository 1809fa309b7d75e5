using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="RaftMixing"/>. It computes the hidden layer again, which is larger than the map, rather than have it kept.
/// <list type="bullet">
/// <item>Inputs: <c>y_grad</c> [N, H, W, C], then the operator's <c>x</c>, <c>norm_scale</c>, <c>norm_bias</c>, <c>weight1</c>,
/// <c>bias1</c>, <c>weight2</c> and <c>keep</c>.</item>
/// <item>Outputs: the gradients <c>x_grad</c> [N, H, W, C], <c>norm_scale_grad</c> and <c>norm_bias_grad</c> [C], <c>weight1_grad</c>
/// [D, r H], <c>bias1_grad</c> [D], <c>weight2_grad</c> [r H, D], <c>bias2_grad</c> [r H].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// On CUDA it runs by its definition, whose parts have kernels there.
/// </summary>
public sealed class RaftMixingGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["y_grad", "x", "norm_scale", "norm_bias", "weight1", "bias1", "weight2", "keep"],
        [
            "x_grad", "norm_scale_grad", "norm_bias_grad", "weight1_grad", "bias1_grad", "weight2_grad", "bias2_grad",
        ],
        ["raft_size", "epsilon"], (builder, inputs) =>
        {
            var (outputGrad, x, scale, weight1, bias1, weight2) = (inputs[0], inputs[1], inputs[2], inputs[4], inputs[5], inputs[6]);
            var raftSize = new AttributeReference("raft_size", typeof(long));
            var epsilon = new AttributeReference("epsilon", typeof(float));
            var tokens = builder.Op(
                nameof(RaftTokens), [x, scale, inputs[3]], new() { ["raft_size"] = raftSize, ["epsilon"] = epsilon }, Domain);
            var inner = tokens.MatMul(weight1.Transpose(1, 0));
            var ofBranch = builder.Ops(nameof(RaftResidualGrad), [outputGrad, inputs[7]], 2, new() { ["raft_size"] = raftSize }, Domain);
            var ofInner = BiasGeluGrad.Apply(ofBranch[0].MatMul(weight2), inner, bias1);
            var ofTokens = builder.Ops(
                nameof(RaftTokensGrad), [ofInner[0].MatMul(weight1), x, scale], 3,
                new() { ["raft_size"] = raftSize, ["epsilon"] = epsilon }, Domain);
            return
            [
                outputGrad + ofTokens[0], ofTokens[1], ofTokens[2],
                OfWeight(ofInner[0], tokens, weight1), ofInner[1],
                OfWeight(ofBranch[0], BiasGelu.Apply(inner, bias1), weight2), ofBranch[1],
            ];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new RaftMixingGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new RaftMixingGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new RaftMixingGradKernel<Vector128<float>, Simd128<float>>(attributes))),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [.. inputs[1..7], new(inputs[1].Type, Rows(inputs[6].Shape))];

    private static Shape? Rows(Shape? weight) => weight is null ? null : [weight[0]];

    // Of weights [rows, columns] that tokens [..., columns] are multiplied by into [..., rows].
    private static Value OfWeight(Value outputGrad, Value tokens, Value weight)
    {
        var builder = weight.Builder;
        return builder.Op("Gemm", [Flat(outputGrad, 0), Flat(tokens, 1)], new() { ["transA"] = 1 });

        Value Flat(Value value, int axis) => value.Reshape(builder.Concat(0, builder.Int64(-1), weight.ShapeOf(axis, axis + 1)));
    }
}
