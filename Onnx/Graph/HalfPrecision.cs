using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>
/// Makes of a float32 model one that computes in float16 on CUDA, between inputs and outputs that stay float32. What stays in float32
/// inside, <see cref="MixedPrecision"/> says. Maps between convolutions have their channels last (<see cref="ChannelsLast"/>).
/// </summary>
internal static class HalfPrecision
{
    /// <summary>The converted model; the given one stays as it is.</summary>
    /// <exception cref="NotSupportedException">
    /// The model has an operator whose results are of unknown type, or its operator set is too old.
    /// </exception>
    public static OnnxModel Convert(OnnxModel model)
    {
        var graph = model.Graph.Clone();
        OpsetUpgrade.Apply(graph, model.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset));
        Inliner.Inline(graph, [.. model.Functions, .. AttentionOps.All.Select(op => op.Function)], node => !HasKernel(node));
        ShapeInference.Infer(graph);
        GraphSimplifier.Fold(graph);
        GraphSimplifier.FoldReshapes(graph);
        ThrowIfUnknown(graph);
        BatchNormalizationFolding.Apply(graph);
        ChannelsLast.Apply(graph);
        MixedPrecision.Apply(graph, new HashSet<string>());
        GraphSimplifier.RemoveUnused(graph);
        return new GraphBuilder(graph).ToModel();
    }

    private static bool HasKernel(Node node) => AttentionOps.Find(node) is { } op
        && op.Kernels.Any(kernel => kernel is { Provider: KernelProvider.Cuda, Type: TensorElementType.Float16 });

    private static void ThrowIfUnknown(Graph graph)
    {
        foreach (var node in graph.Nodes)
        {
            if (node.Outputs.Find(output => output.Length > 0 && graph.Info(output).Type is null) is { } output)
            {
                throw new NotSupportedException(
                    $"The model cannot be computed in half precision: the element type of '{output}', a result of {node.OpType}, is not known.");
            }
        }
    }
}
