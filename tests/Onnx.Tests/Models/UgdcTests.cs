using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class UgdcTests
{
    private static readonly UgdcConfig Mini = new() { StemWidth = 4, Height = 80, Width = 96 };

    [Theory]
    [InlineData("ugdc", "predict_400x640")]
    [InlineData("ugdc_enhance", "enhance_400x640")]
    [InlineData("unet_enhance", "unet_enhance_80x96")]
    public void Published_variants_have_the_parameters_of_their_checkpoints(string variant, string golden)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(SharedFolder.Find($"goldens/ugdc/{golden}.json")));
        var expected = json.RootElement.GetProperty("parameters").EnumerateObject()
            .Where(parameter => !parameter.Name.Contains(".ln.", StringComparison.Ordinal)) // never used by the published code
            .Select(parameter => $"{parameter.Name}[{string.Join(',', parameter.Value.EnumerateArray())}]");
        var graph = Ugdc.Build(Ugdc.Variants[variant], new RandomWeights(1)).Graph;
        Assert.Equal(expected.Order(), graph.Initializers.Where(pair => !pair.Key.Contains("const", StringComparison.Ordinal))
            .Select(pair => $"{pair.Key}[{string.Join(',', pair.Value.Dims)}]").Order());
    }

    [Fact]
    public void The_layer_that_the_published_code_never_uses_may_be_in_a_checkpoint()
    {
        var trained = Ugdc.Build(Mini, new RandomWeights(1)).Graph.Initializers
            .Where(pair => !pair.Key.Contains("const", StringComparison.Ordinal)).ToDictionary();
        trained["up1.conv.double_conv.0.ln.weight"] = Tensor.Create<float>(new float[64], 64);
        Ugdc.Build(Mini, new Checkpoint(trained));
        trained["up1.conv.double_conv.0.other.weight"] = Tensor.Create<float>(new float[64], 64);
        Assert.Contains("Surplus (1): up1.conv.double_conv.0.other.weight",
            Assert.Throws<InvalidDataException>(() => Ugdc.Build(Mini, new Checkpoint(trained))).Message);
    }

    [Fact]
    public void Two_nets_in_a_row_give_what_they_give_apart()
    {
        var enhance = Mini with { StemWidth = 2 };
        var pipeline = Ugdc.BuildPipeline(Mini, enhance, new RandomWeights(1));
        var weights = pipeline.Graph.Initializers;
        var x = RandomTensor.Float(1, 2, 3, Mini.Height, Mini.Width);

        var outputs = SessionRunner.Run(pipeline, new Dictionary<string, Tensor> { ["x"] = x });

        AssertSame(Run(Mini, "pred.", x), outputs["coarse"]);
        AssertSame(Run(enhance, "enhance.", outputs["coarse"]), outputs["residual"]);
        Assert.Equal([2, Mini.Height, Mini.Width, 3], outputs["image"].Dims);

        Tensor Run(UgdcConfig config, string prefix, Tensor input) => SessionRunner.Run(
            Ugdc.Build(config, new Checkpoint(weights
                .Where(pair => pair.Key.StartsWith(prefix, StringComparison.Ordinal) && !pair.Key.Contains("const", StringComparison.Ordinal))
                .ToDictionary(pair => pair.Key[prefix.Length..], pair => pair.Value))),
            new Dictionary<string, Tensor> { ["x"] = input })["y"];

        static void AssertSame(Tensor expected, Tensor actual) =>
            Assert.Equal(expected.AsSpan<float>().ToArray(), actual.AsSpan<float>().ToArray());
    }

    [Fact]
    public void Sizes_that_the_net_cannot_take_are_refused()
    {
        Assert.Contains("Pictures of 79 x 96 are too small: each side needs 80",
            Assert.Throws<ArgumentException>(() => Ugdc.Build(Mini with { Height = 79 }, new RandomWeights(1))).Message);
        Assert.Contains("takes pictures of 80 x 96, the enhancing net of 80 x 97", Assert.Throws<ArgumentException>(
            () => Ugdc.BuildPipeline(Mini, Mini with { Width = 97 }, new RandomWeights(1))).Message);
    }

    public static TheoryData<bool, bool> Kinds => new() { { true, false }, { true, true }, { false, false } };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_parameter_has_a_gradient(bool isDynamic, bool isBilinear)
    {
        // Odd sizes, so that maps are padded on the way up.
        var config = Mini with { IsDynamic = isDynamic, IsBilinear = isBilinear, Height = 84, Width = 90, DropPathRate = 0.2f };
        var model = Ugdc.Build(config, new RandomWeights(1));
        var graph = model.Graph;
        var parameters = graph.Initializers.Where(pair => pair.Value.Type == TensorElementType.Float && pair.Value.Dims.Count > 0
            && !pair.Key.Contains(".running_", StringComparison.Ordinal) && !pair.Key.Contains("const", StringComparison.Ordinal))
            .Select(pair => pair.Key).ToArray();
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = 2 }, model.Functions);
        Backward.Prepare(graph, model.Functions);
        var builder = new GraphBuilder(graph);
        var gradients = Backward.Differentiate((builder["y"] * builder["y"]).ReduceMean([0, 1, 2, 3]), parameters);
        Assert.Equal(parameters.Order(), gradients.Keys.Intersect(parameters).Order());
        foreach (var parameter in parameters)
            builder.Output("gradient of " + parameter, gradients[parameter]);

        var outputs = SessionRunner.Run(
            builder.ToModel(), new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, config.Height, config.Width) });

        foreach (var parameter in parameters)
        {
            var gradient = outputs["gradient of " + parameter];
            Assert.Equal(graph.Initializers[parameter].Dims, gradient.Dims);
            Assert.All(gradient.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
            Assert.Contains(gradient.AsSpan<float>().ToArray(), value => value != 0);
        }
    }
}
