using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// One step of AdamW (Adam with decoupled weight decay), as PyTorch computes it.
/// <para>Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (arXiv 1711.05101).</para>
/// <list type="bullet">
/// <item>Inputs: <c>weights</c>, <c>gradient</c>, <c>first_moment</c>, <c>second_moment</c>, all [P]; <c>gradient_scale</c>, a scalar
/// that the gradient is multiplied by, or NaN to leave all as it is; <c>step</c> [3]: the learning rate, 1 - beta1^t and 1 - beta2^t in
/// step t (from 1).</item>
/// <item>Outputs: <c>new_weights</c>, <c>new_first_moment</c>, <c>new_second_moment</c>, all [P].</item>
/// <item>Attributes: <c>beta1</c>, <c>beta2</c>, <c>epsilon</c>, <c>weight_decay</c>, <c>learning_rate_scale</c>.</item>
/// </list>
/// </summary>
public sealed class AdamWStep : AttentionOp
{
    internal static Value[] Apply(
        Value weights, Value gradient, Value firstMoment, Value secondMoment, Value gradientScale, Value step, Attributes attributes) =>
        weights.Builder.Ops(nameof(AdamWStep), [weights, gradient, firstMoment, secondMoment, gradientScale, step], 3, attributes, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["weights", "gradient", "first_moment", "second_moment", "gradient_scale", "step"],
        ["new_weights", "new_first_moment", "new_second_moment"],
        ["beta1", "beta2", "epsilon", "weight_decay", "learning_rate_scale"],
        (builder, inputs) =>
        {
            var (weights, gradient, first, second) = (inputs[0], inputs[1] * inputs[4], inputs[2], inputs[3]);
            var rate = Step(0) * Attribute("learning_rate_scale");
            first = (first * Attribute("beta1")) + (gradient * (1 - Attribute("beta1")));
            second = (second * Attribute("beta2")) + (gradient * gradient * (1 - Attribute("beta2")));
            var denominator = (second / Step(2)).Apply("Sqrt") + Attribute("epsilon");
            var decayed = weights * (1 - (rate * Attribute("weight_decay")));
            var skipped = inputs[4].Apply("IsNaN");
            return
            [
                skipped.Where(weights, decayed - (rate / Step(1) * first / denominator)),
                skipped.Where(inputs[2], first),
                skipped.Where(inputs[3], second),
            ];

            Value Attribute(string name) => builder.Attribute(name, typeof(float));

            Value Step(long index) => inputs[5].Gather(builder.Constant(Tensor.Scalar(index)));
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new AdamWStepKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new AdamWStepKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new AdamWStepKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new AdamWStepKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0], inputs[2], inputs[3]];
}
