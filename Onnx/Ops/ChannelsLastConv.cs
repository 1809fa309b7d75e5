using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Two-dimensional convolution of maps whose channels are the last axis, with bias, and on request with a residual sum and ReLU.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C], <c>weight</c> [O, kH, kW, C], <c>bias</c> [O], <c>residual</c> [N, Ho, Wo, O], which is added; a
/// scalar 0 for none.</item>
/// <item>Outputs: <c>y</c> [N, Ho, Wo, O].</item>
/// <item>Attributes: <c>kernel_shape</c>, <c>strides</c>, <c>dilations</c>, <c>pads</c> as for Conv, none left out;
/// <c>is_rectified</c>, 1 where negative results become 0, or 0.</item>
/// </list>
/// </summary>
public sealed class ChannelsLastConv : AttentionOp
{
    internal static readonly string[] WindowNames = ["kernel_shape", "strides", "dilations", "pads"];

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "weight", "bias", "residual"], ["y"], [.. WindowNames, "is_rectified"], (builder, inputs) =>
        {
            var map = builder.Op(
                "Conv", [inputs[0].Transpose(0, 3, 1, 2), inputs[1].Transpose(0, 3, 1, 2), inputs[2]], WindowReferences());
            return [Rectified(map.Transpose(0, 2, 3, 1) + inputs[3])];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(Name, ["x", "weight", "bias", "residual"], ["y"])
            .Cuda<Half>(attributes => new ChannelsLastConvKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        if (inputs[0].Shape is not { } x || inputs[1].Shape is not { } weight)
            return [new(inputs[0].Type, null)];
        return [new(inputs[0].Type, [x[0], Places(node, x, 0), Places(node, x, 1), weight[0]])];
    }

    /// <summary>Inside a function body: the attributes of the window, as the node has them.</summary>
    internal static Attributes WindowReferences()
    {
        var attributes = new Attributes();
        foreach (var name in WindowNames)
            attributes[name] = new AttributeReference(name, typeof(long[]));
        return attributes;
    }

    /// <summary>The number of windows along an axis of a map [N, H, W, C].</summary>
    internal static Dim Places(Node node, Shape x, int axis)
    {
        if (!x[1 + axis].IsKnown)
            return Dim.Unknown;
        var pads = node.Attributes.Ints("pads")!;
        var extent = ((node.Attributes.Ints("kernel_shape")![axis] - 1) * node.Attributes.Ints("dilations")![axis]) + 1;
        return ((x[1 + axis].Value + pads[axis] + pads[axis + 2] - extent) / node.Attributes.Ints("strides")![axis]) + 1;
    }

    /// <summary>Inside a function body: ReLU where the attribute <c>is_rectified</c> says so.</summary>
    internal static Value Rectified(Value value) =>
        value.Builder.Attribute("is_rectified", typeof(long)).Cast(TensorElementType.Bool).Where(value.Apply("Relu"), value);
}
