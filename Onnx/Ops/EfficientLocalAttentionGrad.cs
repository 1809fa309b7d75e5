using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="EfficientLocalAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, C, H, W], then the operator's <c>x</c>, <c>weight</c>, <c>scale</c>, <c>bias</c>.</item>
/// <item>Outputs: <c>x_grad</c> [N, C, H, W], <c>weight_grad</c> [C, C / group, k], <c>scale_grad</c> [C], <c>bias_grad</c> [C].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class EfficientLocalAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["output_grad", "x", "weight", "scale", "bias"],
        ["x_grad", "weight_grad", "scale_grad", "bias_grad"],
        EfficientLocalAttention.AttributeNames,
        (builder, inputs) =>
        {
            var (g, x) = (inputs[0], inputs[1]);
            var rows = new AttentionStrip(x, 3, inputs[2], inputs[3], inputs[4]);
            var columns = new AttentionStrip(x, 2, inputs[2], inputs[3], inputs[4]);
            var ofRows = rows.Gradients((g * x * columns.Gate).ReduceSum([3], keepDims: true));
            var ofColumns = columns.Gradients((g * x * rows.Gate).ReduceSum([2], keepDims: true));
            return
            [
                (g * rows.Gate * columns.Gate) + ofRows.X + ofColumns.X,
                ofRows.Weight + ofColumns.Weight,
                ofRows.Scale + ofColumns.Scale,
                ofRows.Bias + ofColumns.Bias,
            ];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new EfficientLocalAttentionGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new EfficientLocalAttentionGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new EfficientLocalAttentionGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new EfficientLocalAttentionGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new EfficientLocalAttentionGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => inputs[1..];
}
