using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Cuts a map into windows of side s, row by row, as shifted-window attention sees it: the map is filled up with zeros at its ends to
/// whole windows, and shifted cyclically up and to the left before it is cut.
/// <para>Source: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021 (arXiv
/// 2103.14030).</para>
/// <list type="bullet">
/// <item>Inputs: <c>map</c> [N, H, W, C].</item>
/// <item>Outputs: <c>windows</c> [N ceil(H / s) ceil(W / s), s s, C].</item>
/// <item>Attributes: <c>size</c> s; <c>shift</c>, 0 to s - 1.</item>
/// </list>
/// </summary>
public sealed class WindowPartition : AttentionOp
{
    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="map">[N, H, W, C]</param>
    /// <param name="size">The side of a window.</param>
    /// <param name="shift">Rows and columns that the map is shifted by.</param>
    public static Value Apply(Value map, long size, long shift) =>
        map.Builder.Op(nameof(WindowPartition), [map], new() { ["size"] = size, ["shift"] = shift }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["map"], ["windows"], ["size", "shift"], (builder, inputs) =>
        {
            var layout = new WindowLayout(builder, inputs[0]);
            return [layout.Cut(layout.ShiftBack(layout.Fill(inputs[0])))];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
        [node.Builder.Op(nameof(WindowMerge), [node.Grad, node.Input(0)], node.Attributes.Clone(), Domain)];

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(attributes => new WindowKernel(attributes, isMerging: false)),
        Signature.Cuda<float>(attributes => new WindowKernel<float>(attributes, isMerging: false)),
        Signature.Cuda<Half>(attributes => new WindowKernel<Half>(attributes, isMerging: false)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var size = node.Attributes.Int("size");
        return [new(inputs[0].Type, inputs[0].Shape is not { } map ? null : [Count(map, size), size * size, map[3]])];
    }

    private static Dim Count(Shape map, long size) => map[0].IsKnown && map[1].IsKnown && map[2].IsKnown
        ? map[0].Value * ((map[1].Value + size - 1) / size) * ((map[2].Value + size - 1) / size)
        : Dim.Unknown;
}
