using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Group normalisation: the channels of each example are normalised in groups, then scaled and shifted one by one and, on request, go
/// through SiLU, z sigmoid(z), as before most convolutions of diffusion models.
/// <para>Source: Wu and He, "Group Normalization", ECCV 2018 (arXiv 1803.08494).</para>
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, C, ...], float32 or float16; float32 <c>scale</c> [C], <c>bias</c> [C].</item>
/// <item>Outputs: <c>y</c> [N, C, ...], of the type of x.</item>
/// <item>Attributes: <c>num_groups</c>, which divides C; <c>epsilon</c>; <c>silu</c>, 1 or 0.</item>
/// </list>
/// </summary>
public sealed class GroupNorm : AttentionOp
{
    internal static readonly string[] AttributeNames = ["num_groups", "epsilon", "silu"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="x">[N, C, ...]</param>
    /// <param name="scale">[C]</param>
    /// <param name="bias">[C]</param>
    /// <param name="groupCount">The number of groups.</param>
    /// <param name="epsilon">What keeps the deviation from zero.</param>
    /// <param name="silu">Whether SiLU follows.</param>
    /// <returns>[N, C, ...]</returns>
    public static Value Apply(Value x, Value scale, Value bias, int groupCount, float epsilon, bool silu = false) => x.Builder.Op(
        nameof(GroupNorm), [x, scale, bias],
        new() { ["num_groups"] = groupCount, ["epsilon"] = epsilon, ["silu"] = silu ? 1 : 0 }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "scale", "bias"], ["y"], AttributeNames, (builder, inputs) =>
        {
            var shifted = new GroupNormDefinition(inputs[0], inputs[1]).ScaledAndShifted(inputs[1], inputs[2]);
            var y = builder.Attribute("silu", typeof(long)).Cast(TensorElementType.Bool).Where(shifted * shifted.Apply("Sigmoid"), shifted);
            return [builder.Op("CastLike", [y.Reshape(inputs[0].ShapeOf()), inputs[0]])];
        });

    internal override bool KeepsSingle(int input) => input > 0;

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => node.Builder.Ops(
        nameof(GroupNormGrad), [node.Grad, node.Input(0), node.Input(1), node.Input(2)], 3, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels =>
    [
        KernelContract.Cpu<float>(SimdKernel.Widest(
            attributes => new GroupNormKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new GroupNormKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new GroupNormKernel<Vector128<float>, Simd128<float>>(attributes))),
        KernelContract.Cuda<float>(attributes => new GroupNormKernel<float>(attributes)),
        KernelContract.Cuda<Half>(attributes => new GroupNormKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];

    private static KernelSignature KernelContract => new(
        nameof(GroupNorm),
        ["x", new("scale") { Type = TensorElementType.Float }, new("bias") { Type = TensorElementType.Float }],
        [new("y") { ShapeOfInput = 0 }]);
}

/// <summary>The steps that the definitions of group normalisation and of its gradient share, in the type of the scale.</summary>
internal sealed class GroupNormDefinition
{
    private readonly Value _channels;

    /// <param name="x">[N, C, ...]</param>
    /// <param name="scale">[C]</param>
    public GroupNormDefinition(Value x, Value scale)
    {
        var builder = x.Builder;
        _channels = scale.ShapeOf();
        GroupSizes = builder.Concat(0, builder.Int64(0), builder.Attribute("num_groups", typeof(long)).Reshape(1), builder.Int64(-1));
        var grouped = builder.Op("CastLike", [x, scale]).Reshape(GroupSizes);
        var epsilon = builder.Op("CastLike", [builder.Attribute("epsilon", typeof(float)), scale]);
        var centered = grouped - grouped.ReduceMean([2], keepDims: true);
        Inverse = ((centered * centered).ReduceMean([2], keepDims: true) + epsilon).Apply("Sqrt").Apply("Reciprocal");
        Normalized = centered * Inverse;
    }

    /// <summary>The sizes [N, groups, elements of a group], to be given to Reshape.</summary>
    public Value GroupSizes { get; }

    /// <summary>One by the deviation, [N, groups, 1].</summary>
    public Value Inverse { get; }

    /// <summary>[N, groups, elements of a group]</summary>
    public Value Normalized { get; }

    /// <summary>[N, C, positions]</summary>
    public Value ByChannel(Value value) =>
        value.Reshape(value.Builder.Concat(0, value.Builder.Int64(0), _channels, value.Builder.Int64(-1)));

    /// <summary>[N, C, positions]</summary>
    public Value ScaledAndShifted(Value scale, Value bias) => (ByChannel(Normalized) * scale.Unsqueeze(1)) + bias.Unsqueeze(1);
}
