using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The largest elements of windows of maps whose channels are the last axis.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, H, W, C].</item>
/// <item>Outputs: <c>y</c> [N, Ho, Wo, C].</item>
/// <item>Attributes: <c>kernel_shape</c>, <c>strides</c>, <c>dilations</c>, <c>pads</c> as for MaxPool, none left out.</item>
/// </list>
/// </summary>
public sealed class ChannelsLastMaxPool : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x"], ["y"], ChannelsLastConv.WindowNames, (builder, inputs) =>
            [builder.Op("MaxPool", [inputs[0].Transpose(0, 3, 1, 2)], ChannelsLastConv.WindowReferences()).Transpose(0, 2, 3, 1)]);

    internal override IEnumerable<Kernel> Kernels =>
    [
        new KernelSignature(Name, ["x"], ["y"]).Cuda<Half>(attributes => new ChannelsLastMaxPoolKernel(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
    [
        new(inputs[0].Type, inputs[0].Shape is { } x
            ? [x[0], ChannelsLastConv.Places(node, x, 0), ChannelsLastConv.Places(node, x, 1), x[3]]
            : null),
    ];
}
