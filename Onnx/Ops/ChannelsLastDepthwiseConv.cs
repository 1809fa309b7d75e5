using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Two-dimensional convolution of each channel on its own, of maps whose channels are the last axis.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C], <c>weight</c> [kH, kW, C], <c>bias</c> [C].</item>
/// <item>Outputs: <c>y</c> [N, Ho, Wo, C].</item>
/// <item>Attributes: <c>kernel_shape</c>, <c>strides</c>, <c>dilations</c>, <c>pads</c> as for Conv, none left out; <c>group</c>, the
/// number of channels.</item>
/// </list>
/// </summary>
public sealed class ChannelsLastDepthwiseConv : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "weight", "bias"], ["y"], [.. ChannelsLastConv.WindowNames, "group"], (builder, inputs) =>
        {
            var attributes = ChannelsLastConv.WindowReferences();
            attributes["group"] = new AttributeReference("group", typeof(long));
            var map = builder.Op("Conv", [inputs[0].Transpose(0, 3, 1, 2), inputs[1].Transpose(2, 0, 1).Unsqueeze(1), inputs[2]], attributes);
            return [map.Transpose(0, 2, 3, 1)];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(Name, ["x", "weight", "bias"], ["y"]).Cuda<Half>(attributes => new ChannelsLastDepthwiseConvKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
    [
        new(inputs[0].Type, inputs[0].Shape is { } x
            ? [x[0], ChannelsLastConv.Places(node, x, 0), ChannelsLastConv.Places(node, x, 1), x[3]]
            : null),
    ];
}
