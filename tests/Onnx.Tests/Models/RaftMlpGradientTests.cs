using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>Every layout and option can be trained.</summary>
public class RaftMlpGradientTests
{
    private static readonly RaftMlpConfig Mini = new()
    {
        TrainedSize = 16,
        ClassCount = 5,
        Levels = [new(1, 8, 2) { EmbeddingKernels = [2, 4] }, new(1, 12, 2) { RaftSize = 3, EmbeddingKernels = [2] }],
    };

    public static TheoryData<string> Names => [.. Configs.Keys];

    private static Dictionary<string, RaftMlpConfig> Configs => new()
    {
        ["published"] = Mini,
        ["stochastic depth"] = Mini with { DropPathRate = 0.1f },
        ["on another grid"] = Mini with { TrainedSize = 20 },
        ["with whole patches"] = Mini with { Levels = [new(1, 8, 3) { EmbeddingKernels = [3, 5] }] },
        ["shortcut"] = Mini with { Shortcut = true },
        ["plain patches"] = Mini with { Levels = [new(1, 8, 4) { RaftSize = 4 }] },
        ["MLP-Mixer"] = Mini with { Mixing = RaftMlpMixing.Full, Levels = [new(2, 8, 4)] },
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_parameter_has_a_gradient(string name)
    {
        const int Size = 16;
        var model = RaftMlp.Build(Configs[name], new RandomWeights(1), Size, Size);
        var graph = model.Graph;
        var parameters = graph.Initializers.Where(pair => pair.Value.Type == TensorElementType.Float && pair.Value.Dims.Count > 0
            && !pair.Key.Contains(".running_", StringComparison.Ordinal)).Select(pair => pair.Key).ToArray();
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = 2 }, model.Functions);
        Backward.Prepare(graph, model.Functions);
        var builder = new GraphBuilder(graph);
        var loss = (builder["logits"] * builder["logits"]).ReduceMean([0, 1]);
        var gradients = Backward.Differentiate(loss, parameters);
        Assert.Equal(parameters.Order(), gradients.Keys.Intersect(parameters).Order());
        foreach (var parameter in parameters)
            builder.Output("gradient of " + parameter, gradients[parameter]);

        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, Size, Size) };
        var outputs = SessionRunner.Run(builder.ToModel(), inputs);

        foreach (var parameter in parameters)
        {
            var gradient = outputs["gradient of " + parameter];
            Assert.Equal(graph.Initializers[parameter].Dims, gradient.Dims);
            Assert.All(gradient.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
            Assert.Contains(gradient.AsSpan<float>().ToArray(), value => value != 0);
        }
    }
}
