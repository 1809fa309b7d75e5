using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Puts windows together to the map that <see cref="WindowPartition"/> cut them from, shifted back and without the filling; each is the
/// other's gradient.
/// <list type="bullet">
/// <item>Inputs: <c>windows</c> [N ceil(H / s) ceil(W / s), s s, C]; <c>like</c> [N, H, W, ...], which tells the size of the map.</item>
/// <item>Outputs: <c>map</c> [N, H, W, C].</item>
/// <item>Attributes: <c>size</c> s; <c>shift</c>, 0 to s - 1.</item>
/// </list>
/// </summary>
public sealed class WindowMerge : AttentionOp
{
    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="windows">[N ceil(H / s) ceil(W / s), s s, C]</param>
    /// <param name="like">[N, H, W, ...]</param>
    /// <param name="size">The side of a window.</param>
    /// <param name="shift">Rows and columns that the map was shifted by.</param>
    public static Value Apply(Value windows, Value like, long size, long shift) =>
        windows.Builder.Op(nameof(WindowMerge), [windows, like], new() { ["size"] = size, ["shift"] = shift }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["windows", "like"], ["map"], ["size", "shift"], (builder, inputs) =>
        {
            var layout = new WindowLayout(builder, inputs[1]);
            return [layout.Crop(layout.Shift(layout.Join(inputs[0])))];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
        [node.Builder.Op(nameof(WindowPartition), [node.Grad], node.Attributes.Clone(), Domain), null];

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(attributes => new WindowKernel(attributes, isMerging: true)),
        Signature.Cuda<float>(attributes => new WindowKernel<float>(attributes, isMerging: true)),
        Signature.Cuda<Half>(attributes => new WindowKernel<Half>(attributes, isMerging: true)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
        [new(inputs[0].Type, inputs[1].Shape is { } map ? [map[0], map[1], map[2], inputs[0].Shape?[2] ?? Dim.Unknown] : null)];
}
