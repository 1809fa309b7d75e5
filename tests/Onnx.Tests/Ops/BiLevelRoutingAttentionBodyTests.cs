using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

public class BiLevelRoutingAttentionBodyTests
{
    [Theory]
    [InlineData(2, 8, 8, 16, 16, 2, 4, 2)]
    [InlineData(1, 13, 18, 8, 12, 2, 4, 3)]
    [InlineData(1, 5, 6, 4, 4, 1, 7, 4)]
    public void Runs_and_infers_what_OnnxRuntime_computes(int n, int h, int w, int cq, int c, int heads, int windows, int topK)
    {
        var builder = new GraphBuilder();
        var query = builder.Input("query", TensorElementType.Float, [n, h, w, cq]);
        var key = builder.Input("key", TensorElementType.Float, [n, h, w, cq]);
        var value = builder.Input("value", TensorElementType.Float, [n, h, w, c]);
        var outputs = builder.Ops("BiLevelRoutingAttention", [query, key, value], 3, new()
        {
            ["num_heads"] = heads, ["window_count"] = windows, ["top_k"] = topK, ["scale"] = 0.3f,
        }, AttentionOp.Domain);
        builder.Output("output", outputs[0]);
        builder.Output("routing", outputs[1]);
        builder.Output("logsumexp", outputs[2]);
        var model = builder.ToModel();
        var results = SessionRunner.Run(model, new Dictionary<string, Tensor>
        {
            ["query"] = RandomTensor.Float(1, n, h, w, cq),
            ["key"] = RandomTensor.Float(2, n, h, w, cq),
            ["value"] = RandomTensor.Float(3, n, h, w, c),
        });
        foreach (var name in results.Keys)
        {
            Assert.Equal(model.Graph.Info(name).Shape!.ToString(), results[name].Shape.ToString());
            Assert.Equal(model.Graph.Info(name).Type, results[name].Type);
        }
    }
}
