using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class BiFormerTests
{
    private static readonly BiFormerConfig Mini = new()
    {
        Depths = [1, 1, 2, 1], Widths = [16, 32, 48, 64], MlpRatios = [3, 3, 3, 3], HeadWidth = 16,
        WindowCounts = [4, 4, 4, 4], TopKs = [1, 4, 6, -2], ClassCount = 10,
    };

    [Theory]
    [InlineData("biformer_tiny", "tiny_224", 13_142_760)]
    [InlineData("biformer_small", "small_224", 25_536_232)]
    [InlineData("biformer_base", "base_224", 56_804_968)]
    [InlineData("biformer_stl", "stl_224", 28_372_552)]
    [InlineData("biformer_stl_nchw", "stl_nchw_224", 28_372_552)]
    public void Published_variants_have_the_parameters_of_their_checkpoints(string variant, string golden, long parameterCount)
    {
        var names = new RecordedWeights();
        BiFormer.Build(BiFormer.Variants[variant], names, 224, 224);
        Assert.Equal(parameterCount, names.ParameterCount);

        using var json = JsonDocument.Parse(File.ReadAllBytes(SharedFolder.Find($"goldens/biformer/{golden}.json")));
        var expected = json.RootElement.GetProperty("parameters").EnumerateObject()
            .Select(parameter => $"{parameter.Name}[{string.Join(',', parameter.Value.EnumerateArray())}]");
        Assert.Equal(expected.Order(), names.Dims.Select(pair => $"{pair.Key}[{string.Join(',', pair.Value)}]").Order());
    }

    [Fact]
    public void A_model_for_any_size_computes_what_one_for_a_fixed_size_does()
    {
        var config = Mini with { AutoPad = true };
        var any = BiFormer.Build(config, new RandomWeights(1));
        foreach (var (batch, height, width) in new[] { (2, 64, 64), (1, 100, 76) })
        {
            var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, batch, 3, height, width) };
            var @fixed = BiFormer.Build(config, new RandomWeights(1), height, width);
            var expected = SessionRunner.Run(@fixed, inputs)["logits"].AsSpan<float>().ToArray();
            var actual = SessionRunner.Run(any, inputs)["logits"];
            Assert.Equal([batch, 10], actual.Dims);
            for (var i = 0; i < expected.Length; i++)
                Assert.Equal(expected[i], actual.AsSpan<float>()[i], 1e-5f);
        }
    }

    [Theory]
    [InlineData(28)]
    [InlineData(32)]
    public void The_small_variant_takes_small_images(int size)
    {
        var config = BiFormer.Variants["biformer_nano"] with { ClassCount = 10, InputChannels = 1 };
        var model = BiFormer.Build(config, new RandomWeights(1), size, size);
        Assert.Equal("[N, 10]", model.Graph.Info("logits").Shape!.ToString());
        var logits = SessionRunner.Run(model, new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 3, 1, size, size) })["logits"];
        Assert.Equal([3, 10], logits.Dims);
        Assert.All(logits.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void Paths_are_dropped_more_often_in_later_blocks_and_never_in_inference()
    {
        var model = BiFormer.Build(Mini with { DropPathRate = 0.2f }, new RandomWeights(1), 128, 128);
        var probabilities = model.Graph.Nodes.Where(node => node.OpType == "DropPath")
            .Select(node => MathF.Round(node.Attributes.Float("probability", -1), 4));
        Assert.Equal([0.05f, 0.05f, 0.1f, 0.1f, 0.15f, 0.15f, 0.2f, 0.2f], probabilities);
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 1, 3, 128, 128) };
        Assert.Equal(
            SessionRunner.Run(BiFormer.Build(Mini, new RandomWeights(1), 128, 128), inputs)["logits"].Data.ToArray(),
            SessionRunner.Run(model, inputs)["logits"].Data.ToArray());
    }

    [Fact]
    public void Backbones_give_the_maps_of_all_stages()
    {
        var model = BiFormer.BuildBackbone(Mini with { AutoPad = true }, new RandomWeights(1), 96, 140);
        Assert.Equal(["[N, 16, 24, 35]", "[N, 32, 12, 18]", "[N, 48, 6, 9]", "[N, 64, 3, 5]"],
            model.Graph.Outputs.Select(name => model.Graph.Info(name).Shape!.ToString()));
    }

    [Fact]
    public void Weights_beside_the_model_file_are_read_back()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var path = Path.Combine(folder.FullName, "mini.onnx");
            var model = BiFormer.Build(Mini, new RandomWeights(1), 128, 128);
            model.Save(path, externalDataThreshold: 0);
            var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 1, 3, 128, 128) };
            Assert.True(File.Exists(path + ".data"));
            Assert.Equal(
                SessionRunner.Run(model, inputs)["logits"].Data.ToArray(),
                SessionRunner.Run(OnnxModel.Load(path), inputs)["logits"].Data.ToArray());
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void A_checkpoint_that_does_not_fit_is_described_in_one_error()
    {
        var tensors = Weights(Mini);
        tensors.Remove("norm.weight");
        tensors.Remove("stages.0.0.attn.lepe.bias");
        tensors["head.weight"] = Tensor.Create<float>(new float[64 * 7], 7, 64);
        tensors["decoder.weight"] = Tensor.Scalar(1f);
        tensors["norm.num_batches_tracked"] = Tensor.Scalar(1L);

        var checkpoint = new Checkpoint(tensors, "'mini.safetensors'");
        var message = Assert.Throws<InvalidDataException>(() => BiFormer.Build(Mini, checkpoint, 128, 128)).Message;

        Assert.Equal("The model does not fit 'mini.safetensors'."
            + " Wrong shapes (1): head.weight is [7, 64], the model takes [10, 64]."
            + " Missing (2): stages.0.0.attn.lepe.bias [16]; norm.weight [64]."
            + " Surplus (1): decoder.weight.", message);
    }

    [Fact]
    public void A_new_head_goes_onto_a_trained_backbone()
    {
        var trained = new Checkpoint(Weights(Mini));
        var model = BiFormer.Build(
            Mini with { ClassCount = 3 }, trained.Replace(name => name.StartsWith("head."), new RandomWeights(5)), 128, 128);
        Assert.Equal([3, 64], model.Graph.Initializers["head.weight"].Dims);
        Assert.Equal(Weights(Mini)["norm.weight"].Data.ToArray(), model.Graph.Initializers["norm.weight"].Data.ToArray());
    }

    [Fact]
    public void Sizes_that_do_not_divide_into_the_windows_are_refused() =>
        Assert.Contains("25 x 19 does not divide into 4 x 4 windows",
            Assert.Throws<ArgumentException>(() => BiFormer.Build(Mini, new RandomWeights(1), 100, 76)).Message);

    [Fact]
    public void Configurations_that_contradict_themselves_are_refused()
    {
        Refused("Widths has 3 entries for 4 stages", Mini with { Widths = [16, 32, 48] });
        Refused("Widths has 17 in stage 0, not a multiple of 16", Mini with { Widths = [17, 32, 48, 64] });
        Refused("TopKs has -3", Mini with { TopKs = [1, 4, -3, -2] });
        Refused("PositionKernel is 5", Mini with { PositionKernel = 5 });
        Refused("LePEKernel is 4", Mini with { LePEKernel = 4 });
        Refused("DropPathRate is 1", Mini with { DropPathRate = 1 });
        Refused("StemStride is 3", Mini with { StemStride = 3 });
        Refused("needs DifferentiableRouting", Mini with { RoutingProjection = true });

        static void Refused(string reason, BiFormerConfig config) =>
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => BiFormer.Build(config, new RandomWeights(1), 128, 128)).Message);
    }

    private static Dictionary<string, Tensor> Weights(BiFormerConfig config)
    {
        var names = new RecordedWeights();
        BiFormer.Build(config, names, 128, 128);
        return names.Dims.ToDictionary(pair => pair.Key, pair => Initialization.TruncatedNormal().Draw(1, pair.Key, pair.Value));
    }
}
