using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of Softmax.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the softmax's output <c>y</c>, both [...].</item>
/// <item>Outputs: <c>x_grad</c> [...].</item>
/// <item>Attributes: <c>axis</c>.</item>
/// </list>
/// </summary>
public sealed class SoftmaxGrad : AttentionOp
{
    internal static Value Apply(Value outputGrad, Value y, long axis) =>
        y.Builder.Op(nameof(SoftmaxGrad), [outputGrad, y], new() { ["axis"] = axis }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "y"], ["x_grad"], ["axis"], (builder, inputs) =>
        {
            var weighted = inputs[0] * inputs[1];
            var axis = builder.Attribute("axis", typeof(long)).Reshape(1);
            return [weighted - (inputs[1] * builder.Op("ReduceSum", [weighted, axis], new() { ["keepdims"] = 1 }))];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new SoftmaxGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new SoftmaxGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new SoftmaxGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new SoftmaxGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new SoftmaxGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1]];
}
