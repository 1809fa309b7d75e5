using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class RaftMlpTests
{
    private static readonly RaftMlpConfig Mini = new()
    {
        TrainedSize = 32,
        ClassCount = 10,
        Levels = [new(1, 8, 4) { EmbeddingKernels = [4, 8] }, new(2, 12, 2) { RaftSize = 3, EmbeddingKernels = [2, 4] }],
    };

    [Theory]
    [InlineData("raftmlp_s", 9_868_768)]
    [InlineData("raftmlp_m", 21_413_632)]
    [InlineData("raftmlp_l", 36_184_672)]
    [InlineData("raftmlp_12", 58_390_696)]
    [InlineData("raftmlp_12_r1", 58_105_432)]
    [InlineData("raftmlp_12_r2", 58_162_888)]
    [InlineData("raftmlp_12_r2_k16_32", 60_522_184)]
    [InlineData("raftmlp_36_r2", 43_532_296)]
    [InlineData("raftmlp_m_plain", 19_920_640)]
    [InlineData("raftmlp_org_mixer", 59_918_200)]
    [InlineData("raftmlp_nano", 1_041_784)]
    public void Variants_have_as_many_parameters_as_published(string variant, long parameterCount) =>
        Assert.Equal(
            parameterCount, Names(RaftMlp.Variants[variant]).Sum(pair => pair.Value.Aggregate(1L, (product, dim) => product * dim)));

    [Theory]
    [InlineData("raftmlp_s", "raftmlp_s_224")]
    [InlineData("raftmlp_12", "raftmlp_12_r4_224")]
    [InlineData("raftmlp_org_mixer", "org_mixer_224")]
    public void Parameters_have_the_names_of_the_checkpoints(string variant, string golden)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(SharedFolder.Find($"goldens/raftmlp/{golden}.json")));
        var expected = json.RootElement.GetProperty("parameters").EnumerateObject()
            .Select(parameter => $"{parameter.Name}[{string.Join(',', parameter.Value.EnumerateArray())}]");
        Assert.Equal(
            expected.Order(), Names(RaftMlp.Variants[variant]).Select(pair => $"{pair.Key}[{string.Join(',', pair.Value)}]").Order());
    }

    [Theory]
    [InlineData(2, 32, 32)]
    [InlineData(1, 64, 48)]
    [InlineData(1, 31, 45)]
    public void A_model_for_any_size_computes_what_one_for_a_fixed_size_does(int batch, int height, int width)
    {
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, batch, 3, height, width) };
        var @fixed = RaftMlp.Build(Mini, new RandomWeights(1), height, width);
        var expected = SessionRunner.Run(@fixed, inputs)["logits"].AsSpan<float>().ToArray();
        var actual = SessionRunner.Run(RaftMlp.Build(Mini, new RandomWeights(1)), inputs)["logits"];
        Assert.Equal([batch, 10], actual.Dims);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual.AsSpan<float>()[i], 1e-5f);
    }

    [Theory]
    [InlineData(28)]
    [InlineData(32)]
    public void The_small_variant_takes_small_images(int size)
    {
        var config = RaftMlp.Variants["raftmlp_nano"] with { ClassCount = 10, InputChannels = 1 };
        var model = RaftMlp.Build(config, new RandomWeights(1), size, size);
        Assert.Equal("[N, 10]", model.Graph.Info("logits").Shape!.ToString());
        var logits = SessionRunner.Run(model, new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 3, 1, size, size) })["logits"];
        Assert.Equal([3, 10], logits.Dims);
        Assert.All(logits.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Paths_are_dropped_equally_in_all_parts_of_all_blocks_and_never_in_inference()
    {
        var model = RaftMlp.Build(Mini with { DropPathRate = 0.1f }, new RandomWeights(1), 32, 32);
        var dropped = model.Graph.Nodes.Where(node => node.OpType == "DropPath").ToArray();
        Assert.Equal(9, dropped.Length);
        Assert.All(dropped, node => Assert.Equal(0.1f, node.Attributes.Float("probability", -1)));
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, 32, 32) };
        Assert.Equal(
            SessionRunner.Run(RaftMlp.Build(Mini, new RandomWeights(1), 32, 32), inputs)["logits"].Data.ToArray(),
            SessionRunner.Run(model, inputs)["logits"].Data.ToArray());
    }

    [Fact]
    public void Backbones_give_the_first_embedding_and_the_maps_of_the_levels_behind_it()
    {
        var model = RaftMlp.BuildBackbone(Mini, new RandomWeights(1), 40, 72);
        Assert.Equal(["[N, 8, 10, 18]", "[N, 12, 5, 9]"], model.Graph.Outputs.Select(name => model.Graph.Info(name).Shape!.ToString()));
        Assert.DoesNotContain(model.Graph.Initializers.Keys, name => name.StartsWith("heads.", StringComparison.Ordinal));

        var mixer = Mini with { Mixing = RaftMlpMixing.Full, Levels = [new(12, 8, 16)] };
        Assert.Equal(["f0", "f1", "f2", "f3"], RaftMlp.BuildBackbone(mixer, new RandomWeights(1), 32, 32).Graph.Outputs);
    }

    [Fact]
    public void Any_square_image_can_have_any_channels()
    {
        var model = RaftMlp.Build(Mini with { InputChannels = 1, Shortcut = true }, new RandomWeights(1), 32, 32);
        var logits = SessionRunner.Run(model, new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 1, 32, 32) })["logits"];
        Assert.Equal([2, 10], logits.Dims);
    }

    [Fact]
    public void The_depth_of_parameters_rises_from_the_first_embedding_to_the_head()
    {
        ImageClassifierConfig config = RaftMlp.Variants["raftmlp_s"];
        Assert.Equal(14, config.LayerCount);
        Assert.Equal(0, config.LayerOf("levels.0.fn.0.fc.weight"));
        Assert.Equal(1, config.LayerOf("levels.0.fn.2.1.norm.1.weight"));
        Assert.Equal(2, config.LayerOf("levels.0.fn.3.5.fn.3.bias"));
        Assert.Equal(2, config.LayerOf("levels.1.fn.0.fc.bias"));
        Assert.Equal(3, config.LayerOf("levels.1.fn.2.3.fn.0.weight"));
        Assert.Equal(12, config.LayerOf("levels.3.fn.3.1.fn.0.weight"));
        Assert.Equal(13, config.LayerOf("heads.0.1.weight"));
        Assert.Equal(13, config.LayerOf("classifier.weight"));
        Assert.True(config.IsHead("classifier.bias"));
        Assert.False(config.IsHead("heads.0.1.bias"));
        Assert.True(config.Decays("levels.0.fn.0.fc.bias", 1));
        Assert.Same(config, ImageClassifiers.Find("RaftMLP_S"));
    }

    [Fact]
    public void A_checkpoint_that_does_not_fit_is_described_in_one_error()
    {
        var tensors = Names(Mini, 32).ToDictionary(pair => pair.Key, pair => Initialization.Ones.Draw(1, pair.Key, pair.Value));
        tensors.Remove("heads.0.1.weight");
        tensors["classifier.weight"] = Tensor.Create<float>(new float[12 * 7], 7, 12);
        tensors["neck.weight"] = Tensor.Scalar(1f);
        var message = Assert.Throws<InvalidDataException>(() => RaftMlp.Build(Mini, new Checkpoint(tensors, "'mini.pth'"), 32, 32)).Message;
        Assert.Equal("The model does not fit 'mini.pth'."
            + " Wrong shapes (1): classifier.weight is [7, 12], the model takes [10, 12]."
            + " Missing (1): heads.0.1.weight [12]."
            + " Surplus (1): neck.weight.", message);
    }

    [Fact]
    public void Configurations_that_contradict_themselves_are_refused()
    {
        Refused("Levels has no level", Mini with { Levels = [] });
        Refused("TrainedSize is 0", Mini with { TrainedSize = 0 });
        Refused("DropPathRate is 1", Mini with { DropPathRate = 1 });
        Refused("Levels[0].RaftSize is 3; it must divide the width, 8", Mini with { Levels = [new(1, 8, 4) { RaftSize = 3 }] });
        Refused("Levels[0].PatchSize is 0", Mini with { Levels = [new(1, 8, 0)] });
        Refused("Levels[0].EmbeddingKernels are 4, 7", Mini with { Levels = [new(1, 8, 4) { EmbeddingKernels = [4, 7] }] });
        Refused("the least must be the patch size, 2", Mini with { Levels = [new(1, 8, 2) { EmbeddingKernels = [4, 8] }] });

        static void Refused(string reason, RaftMlpConfig config) =>
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => RaftMlp.Build(config, new RandomWeights(1), 32, 32)).Message);
    }

    private static Dictionary<string, long[]> Names(RaftMlpConfig config, int size = 224)
    {
        var names = new RecordedNames();
        RaftMlp.Build(config, names, size, size);
        return names.Dims;
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
}
