using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of batch normalisation that normalises by the statistics of the batch.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the normalisation's input <c>x</c>, both [N, C, ...], float32 or
/// float16; float32 <c>scale</c> [C].</item>
/// <item>Outputs: <c>x_grad</c> [N, C, ...], of the type of x; float32 <c>scale_grad</c> [C], <c>bias_grad</c> [C].</item>
/// <item>Attributes: <c>epsilon</c>.</item>
/// </list>
/// </summary>
public sealed class BatchNormalizationGrad : AttentionOp
{
    internal static Value[] Apply(Value outputGrad, Value x, Value scale, float epsilon) =>
        x.Builder.Ops(nameof(BatchNormalizationGrad), [outputGrad, x, scale], 3, new() { ["epsilon"] = epsilon }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x", "scale"], ["x_grad", "scale_grad", "bias_grad"], ["epsilon"], (builder, inputs) =>
        {
            var g = builder.Op("CastLike", [inputs[0], inputs[2]]).Reshape(0, 0, -1);
            var x = builder.Op("CastLike", [inputs[1], inputs[2]]).Reshape(0, 0, -1);
            var epsilon = builder.Op("CastLike", [builder.Attribute("epsilon", typeof(float)), x]);
            var centered = x - x.ReduceMean([0, 2], keepDims: true);
            var inverse = ((centered * centered).ReduceMean([0, 2], keepDims: true) + epsilon).Apply("Sqrt").Apply("Reciprocal");
            var normalized = centered * inverse;
            var weighted = g * normalized;
            var gradient = inverse * inputs[2].Reshape(1, -1, 1)
                * (g - g.ReduceMean([0, 2], keepDims: true) - (normalized * weighted.ReduceMean([0, 2], keepDims: true)));
            return
            [
                builder.Op("CastLike", [gradient.Reshape(inputs[1].ShapeOf()), inputs[1]]),
                weighted.ReduceSum([0, 2]),
                g.ReduceSum([0, 2]),
            ];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        KernelContract.Cpu<float>(SimdKernel.Widest(
            BatchNormalizationKernel<Vector512<float>, Simd512<float>>.Backward,
            BatchNormalizationKernel<Vector256<float>, Simd256<float>>.Backward,
            BatchNormalizationKernel<Vector128<float>, Simd128<float>>.Backward)),
        KernelContract.Cuda<float>(BatchNormalizationKernel<float>.Backward),
        KernelContract.Cuda<Half>(BatchNormalizationKernel<Half>.Backward),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[2]];

    private static KernelSignature KernelContract => new(
        nameof(BatchNormalizationGrad),
        ["output_grad", "x", Single("scale")],
        ["x_grad", Single("scale_grad") with { Optional = true }, Single("bias_grad") with { Optional = true }]);

    private static KernelParameter Single(string name) => new(name) { Type = TensorElementType.Float };
}
