using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of LayerNormalization.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> and the normalisation's input <c>x</c>, both [...]; <c>scale</c>, of as many elements as are
/// normalised together.</item>
/// <item>Outputs: <c>x_grad</c> [...], <c>scale_grad</c> and <c>bias_grad</c>, of the shape of <c>scale</c>.</item>
/// <item>Attributes: <c>axis</c>, the first that is normalised; <c>epsilon</c>.</item>
/// </list>
/// </summary>
public sealed class LayerNormalizationGrad : AttentionOp
{
    internal static Value[] Apply(Value outputGrad, Value x, Value scale, long axis, float epsilon) =>
        x.Builder.Ops(nameof(LayerNormalizationGrad), [outputGrad, x, scale], 3, new() { ["axis"] = axis, ["epsilon"] = epsilon }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x", "scale"], ["x_grad", "scale_grad", "bias_grad"], ["axis", "epsilon"], (builder, inputs) =>
        {
            var axis = new AttributeReference("axis", typeof(long));
            var g = builder.Op("Flatten", [inputs[0]], new() { ["axis"] = axis });
            var x = builder.Op("Flatten", [inputs[1]], new() { ["axis"] = axis });
            var epsilon = builder.Op("CastLike", [builder.Attribute("epsilon", typeof(float)), x]);

            var centered = x - x.ReduceMean([1], keepDims: true);
            var inverse = ((centered * centered).ReduceMean([1], keepDims: true) + epsilon).Apply("Sqrt").Apply("Reciprocal");
            var normalized = centered * inverse;
            var scaled = g * inputs[2].Reshape(1, -1);
            var gradient = inverse * (scaled - scaled.ReduceMean([1], keepDims: true)
                - (normalized * (scaled * normalized).ReduceMean([1], keepDims: true)));
            var scaleShape = inputs[2].ShapeOf();
            return
            [
                gradient.Reshape(inputs[1].ShapeOf()),
                (g * normalized).ReduceSum([0]).Reshape(scaleShape),
                g.ReduceSum([0]).Reshape(scaleShape),
            ];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new LayerNormalizationGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new LayerNormalizationGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new LayerNormalizationGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new LayerNormalizationGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new LayerNormalizationGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[2]];
}
