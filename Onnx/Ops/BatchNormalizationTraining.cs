using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Batch normalisation as in training: normalises by the statistics of the batch and moves the running statistics towards them, as
/// PyTorch's BatchNorm does (the running variance is the unbiased one).
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, C, ...], float32 or float16; float32 <c>scale</c> [C], <c>bias</c> [C], <c>running_mean</c> [C], <c>running_variance</c> [C].</item>
/// <item>Outputs: <c>y</c> [N, C, ...], of the type of x; float32 <c>new_running_mean</c> [C], <c>new_running_variance</c> [C].</item>
/// <item>Attributes: <c>epsilon</c>; <c>momentum</c>, the weight of the new statistics (PyTorch's sense), mostly 0.1.</item>
/// </list>
/// </summary>
public sealed class BatchNormalizationTraining : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["x", "scale", "bias", "running_mean", "running_variance"],
        ["y", "new_running_mean", "new_running_variance"],
        ["epsilon", "momentum"],
        (builder, inputs) =>
        {
            var x = builder.Op("CastLike", [inputs[0], inputs[1]]).Reshape(0, 0, -1);
            var epsilon = builder.Op("CastLike", [builder.Attribute("epsilon", typeof(float)), x]);
            var momentum = builder.Op("CastLike", [builder.Attribute("momentum", typeof(float)), x]);
            var mean = x.ReduceMean([0, 2], keepDims: true);
            var centered = x - mean;
            var squares = (centered * centered).ReduceSum([0, 2], keepDims: true);
            var sizes = x.ShapeOf();
            var count = sizes.Gather(builder.Int64(0)) * sizes.Gather(builder.Int64(2));
            var variance = squares / builder.Op("CastLike", [count, x]);
            var unbiased = squares / builder.Op("CastLike", [builder.Op("Max", [count - builder.Int64(1), builder.Int64(1)]), x]);
            var inverse = (variance + epsilon).Apply("Sqrt").Apply("Reciprocal");
            var y = (centered * (inverse * inputs[1].Reshape(1, -1, 1))) + inputs[2].Reshape(1, -1, 1);
            return
            [
                builder.Op("CastLike", [y.Reshape(inputs[0].ShapeOf()), inputs[0]]),
                inputs[3] + (momentum * (mean.Reshape(-1) - inputs[3])),
                inputs[4] + (momentum * (unbiased.Reshape(-1) - inputs[4])),
            ];
        });

    internal override bool KeepsSingle(int input) => input > 0;

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
        [.. BatchNormalizationGrad.Apply(node.Grad, node.Input(0), node.Input(1), node.Attributes.Float("epsilon", 1e-5f)), null, null];

    internal override IEnumerable<Kernel> Kernels =>
    [
        KernelContract.Cpu<float>(SimdKernel.Widest(
            BatchNormalizationKernel<Vector512<float>, Simd512<float>>.Forward,
            BatchNormalizationKernel<Vector256<float>, Simd256<float>>.Forward,
            BatchNormalizationKernel<Vector128<float>, Simd128<float>>.Forward)),
        KernelContract.Cuda<float>(BatchNormalizationKernel<float>.Forward),
        KernelContract.Cuda<Half>(BatchNormalizationKernel<Half>.Forward),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0], inputs[3], inputs[4]];

    private static KernelSignature KernelContract => new(
        nameof(BatchNormalizationTraining),
        ["x", Single("scale"), Single("bias"), Single("running_mean"), Single("running_variance")],
        ["y", Single("new_running_mean") with { Optional = true }, Single("new_running_variance") with { Optional = true }]);

    private static KernelParameter Single(string name) => new(name) { Type = TensorElementType.Float };
}
