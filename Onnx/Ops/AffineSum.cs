using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// A sum of two maps, one of them scaled, with what a batch normalisation behind it comes to: x scale + addend + shift, and on request
/// ReLU.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [..., C], <c>scale</c> [C], <c>addend</c> like x, <c>shift</c> [C].</item>
/// <item>Outputs: <c>y</c> like x.</item>
/// <item>Attributes: <c>is_rectified</c>, 1 where negative results become 0, or 0.</item>
/// </list>
/// </summary>
public sealed class AffineSum : AttentionOp
{
    internal static Value Apply(Value x, Value scale, Value addend, Value shift, bool isRectified) => x.Builder.Op(
        nameof(AffineSum), [x, scale, addend, shift], new() { ["is_rectified"] = isRectified ? 1 : 0 }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "scale", "addend", "shift"], ["y"], ["is_rectified"], (builder, inputs) =>
            [ChannelsLastConv.Rectified((inputs[0] * inputs[1]) + inputs[2] + inputs[3])]);

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(Name, ["x", "scale", "addend", "shift"], ["y"]).Cuda<Half>(attributes => new AffineSumKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
