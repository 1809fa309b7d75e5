using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="GroupNorm"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the normalisation's input <c>x</c>, both [N, C, ...], float32 or float16; float32 <c>scale</c> [C],
/// <c>bias</c> [C].</item>
/// <item>Outputs: <c>x_grad</c> [N, C, ...], of the type of x; float32 <c>scale_grad</c> [C], <c>bias_grad</c> [C].</item>
/// <item>Attributes: those of <see cref="GroupNorm"/>.</item>
/// </list>
/// </summary>
public sealed class GroupNormGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x", "scale", "bias"], ["x_grad", "scale_grad", "bias_grad"], GroupNorm.AttributeNames,
        (builder, inputs) =>
        {
            var (scale, bias) = (inputs[2], inputs[3]);
            var definition = new GroupNormDefinition(inputs[1], scale);
            var shifted = definition.ScaledAndShifted(scale, bias);
            var sigmoid = shifted.Apply("Sigmoid");
            var slope = builder.Attribute("silu", typeof(long)).Cast(TensorElementType.Bool)
                .Where(sigmoid * ((shifted * (1 - sigmoid)) + 1), builder.Scalar(1, scale));
            var g = definition.ByChannel(builder.Op("CastLike", [inputs[0], scale])) * slope;

            var scaled = (g * scale.Unsqueeze(1)).Reshape(definition.GroupSizes);
            var normalized = definition.Normalized;
            var gradient = definition.Inverse * (scaled - scaled.ReduceMean([2], keepDims: true)
                - (normalized * (scaled * normalized).ReduceMean([2], keepDims: true)));
            return
            [
                builder.Op("CastLike", [gradient.Reshape(inputs[1].ShapeOf()), inputs[1]]),
                (g * definition.ByChannel(normalized)).ReduceSum([0, 2]),
                g.ReduceSum([0, 2]),
            ];
        });

    internal override bool KeepsSingle(int input) => input > 1;

    internal override IEnumerable<Kernel> Kernels =>
    [
        KernelContract.Cpu<float>(SimdKernel.Widest(
            attributes => new GroupNormGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new GroupNormGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new GroupNormGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        KernelContract.Cuda<float>(attributes => new GroupNormGradKernel<float>(attributes)),
        KernelContract.Cuda<Half>(attributes => new GroupNormGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[3]];

    private static KernelSignature KernelContract => new(
        nameof(GroupNormGrad),
        ["output_grad", "x", Single("scale"), Single("bias")],
        [new("x_grad") { ShapeOfInput = 1 }, Single("scale_grad") with { Optional = true }, Single("bias_grad") with { Optional = true }]);

    private static KernelParameter Single(string name) => new(name) { Type = TensorElementType.Float };
}
