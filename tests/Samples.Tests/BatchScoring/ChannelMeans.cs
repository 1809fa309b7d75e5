using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Samples.Tests.BatchScoring;

/// <summary>A model whose outputs a test can compute in its head: the mean of each channel, [N, 3, 8, 6] -> [N, 3].</summary>
internal static class ChannelMeans
{
    public static OnnxModel Build()
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3, 8, 6]));
        graph.Output("means", x.ReduceMean([2, 3]));
        return graph.ToModel();
    }
}
