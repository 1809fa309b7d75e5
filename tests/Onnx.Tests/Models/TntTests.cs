using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>TNT and PyramidTNT beyond what the reference cases show.</summary>
public class TntTests
{
    private static readonly TntConfig Mini = new()
    {
        PatchSize = 8, InnerStride = 4, PatchGrid = (4, 4), Depth = 2, OuterWidth = 32, InnerWidth = 8, OuterHeadCount = 2,
        InnerHeadCount = 2, ClassCount = 5,
    };

    private static readonly PyramidTntConfig MiniPyramid = new()
    {
        ImageSize = (64, 128), Depths = [1, 7, 1, 1], OuterWidths = [8, 16, 24, 32], InnerWidths = [2, 4, 4, 4],
        OuterHeadCounts = [1, 2, 2, 4], InnerHeadCounts = [1, 2, 2, 1], ClassCount = 5,
    };

    [Theory]
    [InlineData("tnt_ti_patch16_224", null, 6.1)]
    [InlineData("tnt_s_patch16_224", "tnt_s_224", 23.77)]
    [InlineData("tnt_b_patch16_224", "tnt_b_224", 65.43)]
    [InlineData("ptnt_ti_patch16_192", "ptnt_ti_192", 10.58)]
    [InlineData("ptnt_s_patch16_256", "ptnt_s_256", 31.95)]
    [InlineData("ptnt_m_patch16_256", null, 84.94)]
    [InlineData("ptnt_b_patch16_256", null, 156.99)]
    public void Published_variants_have_the_parameters_of_their_checkpoints(string variant, string? golden, double millions)
    {
        var names = new RecordedNames();
        ImageClassifiers.Find(variant).Build(names);
        var parameters = names.Dims.Where(pair => !pair.Key.Contains(".running_"));
        var count = parameters.Sum(pair => pair.Value.Aggregate(1L, (product, dim) => product * dim));
        Assert.Equal(millions, count / 1e6, millions < 10 ? 0.05 : 0.005);
        if (golden is null)
            return;
        using var json = JsonDocument.Parse(File.ReadAllBytes(SharedFolder.Find($"goldens/tnt/{golden}.json")));
        var expected = json.RootElement.GetProperty("parameters").EnumerateObject().Where(parameter => parameter.Name != "outer_tokens")
            .Select(parameter => $"{parameter.Name}[{string.Join(',', parameter.Value.EnumerateArray())}]");
        Assert.Equal(expected.Order(), names.Dims.Select(pair => $"{pair.Key}[{string.Join(',', pair.Value)}]").Order());
    }

    [Fact]
    public void A_checkpoint_may_hold_the_tokens_that_nothing_reads()
    {
        var names = new RecordedNames();
        Mini.Build(names);
        var tensors = names.Dims.ToDictionary(pair => pair.Key, pair => Initialization.TruncatedNormal().Draw(1, pair.Key, pair.Value));
        tensors["outer_tokens"] = Initialization.Zeros.Draw(1, "outer_tokens", [1, 16, 32]);
        var model = Mini.Build(new Checkpoint(tensors));
        Assert.DoesNotContain("outer_tokens", model.Graph.Initializers.Keys);
        tensors["inner_tokens"] = Tensor.Scalar(1f);
        Assert.Contains("Surplus (1): inner_tokens.",
            Assert.Throws<InvalidDataException>(() => Mini.Build(new Checkpoint(tensors))).Message);
    }

    [Fact]
    public void Positions_are_interpolated_for_images_of_another_size()
    {
        var model = Mini.Build(new RandomWeights(1), 48, 24);
        Assert.Equal(5, model.Graph.Info("logits").Shape![1]);
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, 48, 24) };
        Assert.Equal([2, 5], SessionRunner.Run(model, inputs)["logits"].Dims);

        // Positions that are the same everywhere stay so.
        var config = Mini with { PatchGrid = (6, 3) };
        var constant = new RandomWeights(1).Replace(name => name == "outer_pos", new SameValue(0.25f));
        Assert.Equal(
            SessionRunner.Run(config.Build(constant), inputs)["logits"].AsSpan<float>().ToArray(),
            SessionRunner.Run(Mini.Build(constant, 48, 24), inputs)["logits"].AsSpan<float>().ToArray(),
            (a, b) => Math.Abs(a - b) < 1e-5f);
    }

    [Theory]
    [InlineData("tnt_nano", 28)]
    [InlineData("tnt_nano", 32)]
    [InlineData("ptnt_nano", 28)]
    public void The_small_variants_take_small_images(string variant, int size)
    {
        var names = new RecordedNames();
        var config = ImageClassifiers.Find(variant) with { ClassCount = 10, InputChannels = 1 };
        config.Build(names, size, size);
        Assert.InRange(names.Dims.Sum(pair => pair.Value.Aggregate(1L, (product, dim) => product * dim)), 500_000, 1_250_000);
        var logits = SessionRunner.Run(config.Build(new RandomWeights(1), size, size),
            new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 3, 1, size, size) })["logits"];
        Assert.Equal([3, 10], logits.Dims);
        Assert.All(logits.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Sizes_that_do_not_fit_are_refused()
    {
        Refused("30 x 32 does not divide into patches of 8 x 8", () => Mini.Build(new RandomWeights(1), 30, 32));
        Refused("takes images of 64 x 128, not of 64 x 64", () => MiniPyramid.Build(new RandomWeights(1), 64, 64));
        Refused("OuterWidth is 33, not a multiple of OuterHeadCount 2", () => (Mini with { OuterWidth = 33 }).Build(new RandomWeights(1)));
        Refused("DropPathRate is 1", () => (Mini with { DropPathRate = 1 }).Build(new RandomWeights(1)));
        Refused("ImageSize is 60 x 64", () => (MiniPyramid with { ImageSize = (60, 64) }).Build(new RandomWeights(1)));
        Refused("InnerWidths has 3 entries for 4 stages", () => (MiniPyramid with { InnerWidths = [1, 1, 1] }).Build(new RandomWeights(1)));
        Refused("has 3 in stage 1, which does not divide its 4 x 8 patches",
            () => (MiniPyramid with { KeyValueStrides = [1, 3, 1, 1] }).Build(new RandomWeights(1)));
        Refused("PatchSize is 6, not a multiple of WordsPerSide 4", () => (MiniPyramid with { PatchSize = 6 }).Build(new RandomWeights(1)));
        Refused("WordsPerSide is 1; it must be positive and even",
            () => (MiniPyramid with { WordsPerSide = 1 }).Build(new RandomWeights(1)));

        static void Refused(string reason, Action build) => Assert.Contains(reason, Assert.Throws<ArgumentException>(build).Message);
    }

    [Fact]
    public void The_depth_of_parameters_follows_the_blocks()
    {
        Assert.Equal([0, 0, 0, 1, 2, 3, 3], new[]
        {
            "cls_token", "patch_embed.proj.weight", "proj.weight", "blocks.0.proj.weight", "blocks.1.inner_attn.v.weight", "norm.bias",
            "head.weight",
        }.Select(Mini.LayerOf));
        Assert.Equal([0, 1, 1, 1, 2, 8, 8, 9, 11], new[]
        {
            "patch_embed.inner_convs.0.bias", "stages.0.relative_pos", "stages.0.blocks.0.proj.weight", "word_merges.0.norm.weight",
            "stages.1.blocks.0.proj.weight", "stages.1.blocks.6.outer_norm1.bias", "sentence_merges.1.norm.bias", "stages.2.relative_pos",
            "norm.weight",
        }.Select(MiniPyramid.LayerOf));
        Assert.False(Mini.Decays("outer_pos", 3));
        Assert.True(MiniPyramid.Decays("stages.0.relative_pos", 4));
    }

    [Fact]
    public void Paths_are_dropped_more_often_in_later_blocks_and_never_in_inference()
    {
        var model = (Mini with { DropPathRate = 0.2f }).Build(new RandomWeights(1));
        var paths = model.Graph.Nodes.Where(node => node.OpType == "DropPath").ToArray();
        Assert.Equal([0.2f, 0.2f, 0.2f, 0.2f], paths.Select(node => node.Attributes.Float("probability", -1)));
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 1, 3, 32, 32) };
        Assert.Equal(
            SessionRunner.Run(Mini.Build(new RandomWeights(1)), inputs)["logits"].Data.ToArray(),
            SessionRunner.Run(model, inputs)["logits"].Data.ToArray());
    }

    public static TheoryData<string> Trainable => [.. Configs.Keys];

    private static Dictionary<string, (ImageClassifierConfig Config, int Height, int Width)> Configs => new()
    {
        ["TNT"] = (Mini, 32, 32),
        ["TNT of another size"] = (Mini, 48, 24),
        ["TNT with biases and gates"] = (Mini with { QueryKeyValueBias = true, SqueezeExcitation = true }, 32, 32),
        ["PyramidTNT"] = (MiniPyramid, 64, 128),
        ["PyramidTNT of small patches"] = (MiniPyramid with { ImageSize = (16, 32), PatchSize = 2, WordsPerSide = 2 }, 16, 32),
    };

    [Theory]
    [MemberData(nameof(Trainable))]
    public void Every_parameter_has_a_gradient(string name)
    {
        var (config, height, width) = Configs[name];
        var model = config.Build(new RandomWeights(1).Replace(IsAtRest, new SameValue(0.1f)), height, width);
        var graph = model.Graph;
        var parameters = graph.Initializers.Where(pair => pair.Value.Type == TensorElementType.Float && pair.Value.Dims.Count > 0
            && !pair.Key.Contains(".running_") && !pair.Key.Contains("const_")).Select(pair => pair.Key).ToArray();
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = 2 }, model.Functions);
        Backward.Prepare(graph, model.Functions);
        var builder = new GraphBuilder(graph);
        var loss = (builder["logits"] * builder["logits"]).ReduceMean([0, 1]);
        var gradients = Backward.Differentiate(loss, parameters);
        Assert.Equal(parameters.Order(), gradients.Keys.Intersect(parameters).Order());
        foreach (var parameter in parameters)
            builder.Output("gradient of " + parameter, gradients[parameter]);
        GraphSimplifier.RemoveUnused(graph);

        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, height, width) };
        var outputs = SessionRunner.Run(builder.ToModel(), inputs);

        foreach (var parameter in parameters)
        {
            var gradient = outputs["gradient of " + parameter];
            Assert.Equal(graph.Initializers[parameter].Dims, gradient.Dims);
            Assert.All(gradient.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
            Assert.Contains(gradient.AsSpan<float>().ToArray(), value => value != 0);
        }

        static bool IsAtRest(string parameter) => parameter.EndsWith(".bias");
    }

    private sealed class RecordedNames : WeightSource
    {
        public Dictionary<string, long[]> Dims { get; } = [];

        public override string Description => "any weights";

        public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization)
        {
            Dims[name] = [.. dims];
            return Initialization.Zeros.Draw(0, name, dims);
        }
    }

    private sealed class SameValue(float value) : WeightSource
    {
        public override string Description => $"all {value}";

        public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
            Initialization.Constant(value).Draw(0, name, dims);
    }
}
