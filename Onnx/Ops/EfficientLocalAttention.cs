using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Efficient local attention: a map is averaged along its rows and along its columns; both strips pass the same one-dimensional
/// convolution, group normalisation and sigmoid, and what comes out gates the rows and the columns of the map.
/// <para>Source: Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024 (arXiv 2403.01123),
/// repository Xuwei86/ELA_Code.</para>
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, C, H, W]; <c>weight</c> [C, C / group, k] of the convolution, k odd, which has no bias and keeps the length
/// of the strips; <c>scale</c> [C] and <c>bias</c> [C] of the normalisation.</item>
/// <item>Outputs: <c>y</c> [N, C, H, W].</item>
/// <item>Attributes: <c>group</c> of the convolution; <c>num_groups</c> and <c>epsilon</c> of the normalisation, whose statistics are
/// those of C / num_groups channels of one strip.</item>
/// </list>
/// </summary>
public sealed class EfficientLocalAttention : AttentionOp
{
    internal static readonly string[] AttributeNames = ["group", "num_groups", "epsilon"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="x">[N, C, H, W]</param>
    /// <param name="weight">[C, C / group, k], k odd; the number of groups of the convolution follows from it.</param>
    /// <param name="scale">[C]</param>
    /// <param name="bias">[C]</param>
    /// <param name="normGroups">The number of groups of the normalisation; divides C.</param>
    /// <param name="epsilon">What is added to the variances.</param>
    /// <returns>[N, C, H, W]</returns>
    public static Value Apply(Value x, Value weight, Value scale, Value bias, int normGroups, float epsilon = 1e-5f) =>
        x.Builder.Op(nameof(EfficientLocalAttention), [x, weight, scale, bias], new()
        {
            ["group"] = weight.Shape[0].Value / weight.Shape[1].Value,
            ["num_groups"] = normGroups,
            ["epsilon"] = epsilon,
        }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "weight", "scale", "bias"], ["y"], AttributeNames, (builder, inputs) =>
        {
            var x = inputs[0];
            var rows = new AttentionStrip(x, 3, inputs[1], inputs[2], inputs[3]);
            var columns = new AttentionStrip(x, 2, inputs[1], inputs[2], inputs[3]);
            return [x * rows.Gate * columns.Gate];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => node.Builder.Ops(
        nameof(EfficientLocalAttentionGrad),
        [node.Grad, node.Input(0), node.Input(1), node.Input(2), node.Input(3)],
        4, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new EfficientLocalAttentionKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new EfficientLocalAttentionKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new EfficientLocalAttentionKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new EfficientLocalAttentionKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new EfficientLocalAttentionKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        if (inputs[0].Shape is { } x && inputs[1].Shape is { IsStatic: true } weight)
            Check(node, x, weight.ToArray());
        return [inputs[0]];
    }

    private void Check(Node node, Shape x, long[] weight)
    {
        var (group, normGroups) = (node.Attributes.Int("group"), node.Attributes.Int("num_groups"));
        if (x.Rank != 4 || weight.Length != 3 || weight[2] % 2 == 0 || weight[1] * group != weight[0] || x[1] != weight[0])
        {
            throw new InvalidOperationException(
                $"{Name}: x is {x} and weight {Shape.Of(weight)}; with group {group} expected [N, C, H, W] and [C, C / {group}, odd].");
        }
        if (weight[0] % normGroups != 0)
            throw new InvalidOperationException($"{Name}: {weight[0]} channels do not divide into num_groups = {normGroups}.");
    }
}
