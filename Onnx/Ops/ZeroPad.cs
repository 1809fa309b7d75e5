using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// A border of zeros around maps whose channels are the last axis.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C].</item>
/// <item>Outputs: <c>y</c> [N, H + top + bottom, W + left + right, C].</item>
/// <item>Attributes: <c>pads</c>: top, left, bottom, right, none negative.</item>
/// </list>
/// </summary>
public sealed class ZeroPad : AttentionOp
{
    internal static Value Apply(Value x, long[] pads) => x.Builder.Op(nameof(ZeroPad), [x], new() { ["pads"] = pads }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x"], ["y"], ["pads"], (builder, inputs) =>
            [builder.Op("Pad", [inputs[0], builder.Attribute("pads", typeof(long[])), null, builder.Int64(1, 2)])]);

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(Name, ["x"], ["y"]).Cuda<Half>(attributes => new ZeroPadKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        if (inputs[0].Shape is not { } x)
            return [new(inputs[0].Type, null)];
        var pads = node.Attributes.Ints("pads")!;
        return [new(inputs[0].Type, [x[0], Padded(0), Padded(1), x[3]])];

        Dim Padded(int axis) => x[1 + axis].IsKnown ? x[1 + axis].Value + pads[axis] + pads[axis + 2] : Dim.Unknown;
    }
}
