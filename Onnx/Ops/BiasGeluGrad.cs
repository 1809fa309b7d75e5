using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="BiasGelu"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the operator's <c>x</c>, both [..., C]; <c>bias</c> [C].</item>
/// <item>Outputs: <c>x_grad</c> [..., C], <c>bias_grad</c> [C].</item>
/// </list>
/// </summary>
public sealed class BiasGeluGrad : AttentionOp
{
    internal static Value[] Apply(Value outputGrad, Value x, Value bias) =>
        x.Builder.Ops(nameof(BiasGeluGrad), [outputGrad, x, bias], 2, domain: Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x", "bias"], ["x_grad", "bias_grad"], [], (builder, inputs) =>
        {
            var gradient = GeluGrad.Apply(inputs[0], inputs[1] + inputs[2]);
            var rows = gradient.Reshape(builder.Concat(0, builder.Int64(-1), inputs[2].ShapeOf()));
            return [gradient, rows.ReduceSum([0])];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            _ => new BiasGeluGradKernel<Vector512<float>, Simd512<float>>(),
            _ => new BiasGeluGradKernel<Vector256<float>, Simd256<float>>(),
            _ => new BiasGeluGradKernel<Vector128<float>, Simd128<float>>())),
        Signature.Cuda<float>(_ => new BiasGeluGradKernel<float>()),
        Signature.Cuda<Half>(_ => new BiasGeluGradKernel<Half>()),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2]];
}
