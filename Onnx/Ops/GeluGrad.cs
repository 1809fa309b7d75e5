using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of the exact (erf) Gaussian error linear unit.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the unit's input <c>x</c>, both [...].</item>
/// <item>Outputs: <c>x_grad</c> [...].</item>
/// </list>
/// </summary>
public sealed class GeluGrad : AttentionOp
{
    internal static Value Apply(Value outputGrad, Value x) => x.Builder.Op(nameof(GeluGrad), [outputGrad, x], domain: Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x"], ["x_grad"], [], (builder, inputs) =>
        {
            var (g, x) = (inputs[0], inputs[1]);
            var cumulative = ((x * Math.Sqrt(0.5)).Apply("Erf") * 0.5) + 0.5;
            var density = (x * x * -0.5).Apply("Exp") * (1 / Math.Sqrt(2 * Math.PI));
            return [g * (cumulative + (x * density))];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            _ => new GeluGradKernel<Vector512<float>, Simd512<float>>(),
            _ => new GeluGradKernel<Vector256<float>, Simd256<float>>(),
            _ => new GeluGradKernel<Vector128<float>, Simd128<float>>())),
        Signature.Cuda<float>(_ => new GeluGradKernel<float>()),
        Signature.Cuda<Half>(_ => new GeluGradKernel<Half>()),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1]];
}
