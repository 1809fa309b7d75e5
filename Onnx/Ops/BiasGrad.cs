using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of a bias of each channel: the sum over all axes but the channels.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [..., C, ...].</item>
/// <item>Outputs: <c>bias_grad</c> [C].</item>
/// <item>Attributes: <c>axes</c>, all but that of the channels, counted from the front.</item>
/// </list>
/// </summary>
public sealed class BiasGrad : AttentionOp
{
    internal static Value Apply(Value outputGrad, int channelAxis)
    {
        var axes = Enumerable.Range(0, outputGrad.Shape.Rank).Where(axis => axis != channelAxis).Select(axis => (long)axis).ToArray();
        return outputGrad.Builder.Op(nameof(BiasGrad), [outputGrad], new() { ["axes"] = axes }, Domain);
    }

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad"], ["bias_grad"], ["axes"], (builder, inputs) =>
            [builder.Op("ReduceSum", [inputs[0], builder.Attribute("axes", typeof(long[]))], new() { ["keepdims"] = 0 })]);

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cuda<float>(attributes => new BiasGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new BiasGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var axes = node.Attributes.Ints("axes")!;
        return [new(inputs[0].Type, inputs[0].Shape is { } shape ? [.. shape.Where((_, axis) => !axes.Contains(axis))] : null)];
    }
}
