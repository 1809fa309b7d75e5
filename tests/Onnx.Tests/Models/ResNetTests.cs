using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class ResNetTests
{
    private static readonly ResNetConfig Mini = new()
    {
        Block = ResNetBlock.Basic, Depths = [1, 2], Widths = [16, 32], Stem = ResNetStem.Small, ClassCount = 5,
    };

    public static TheoryData<string> Names => [.. Configs.Keys];

    private static Dictionary<string, ResNetConfig> Configs => new()
    {
        ["plain"] = Mini,
        ["deep stem"] = Mini with { Stem = ResNetStem.Deep },
        ["large stem, depthwise attention"] = Mini with { Stem = ResNetStem.Large, Attention = Attention("ela_b") },
        ["grouped attention"] = Mini with { Attention = Attention("ela_l") },
        ["inner attention"] = Mini with { Attention = Attention("ela_s"), AttentionPosition = ResNetAttentionPosition.Inner },
        ["bottlenecks"] = Mini with { Block = ResNetBlock.Bottleneck, Attention = Attention("ela_t") },
        ["bottlenecks, inner attention"] = Mini with
        {
            Block = ResNetBlock.Bottleneck, Attention = Attention("ela_s"), AttentionPosition = ResNetAttentionPosition.Inner,
        },
    };

    [Theory]
    [InlineData("resnet18", 11_689_512)]
    [InlineData("resnet18_ela_t", 11_702_952)]
    [InlineData("resnet18_ela_b", 11_706_792)]
    [InlineData("resnet18_ela_s", 11_770_152)]
    [InlineData("resnet18_ela_l", 11_800_872)]
    [InlineData("resnet34", 21_797_672)]
    [InlineData("resnet50", 25_557_032)]
    [InlineData("resnet50_ela_t", 25_662_760)]
    [InlineData("resnet50_ela_b", 25_692_968)]
    [InlineData("resnet50_ela_s", 26_191_400)]
    [InlineData("resnet50_ela_l", 26_433_064)]
    [InlineData("resnet101", 44_549_160)]
    public void Published_variants_have_the_published_number_of_parameters(string variant, long parameterCount)
    {
        var weights = new RecordedWeights();
        ImageClassifiers.Find(variant).Build(weights, 224, 224);
        Assert.Equal(parameterCount, weights.ParameterCount);
    }

    [Fact]
    public void Parameters_have_torchvisions_names()
    {
        var weights = new RecordedWeights();
        ResNet.Build(Mini with { Block = ResNetBlock.Bottleneck, Depths = [1], Widths = [16] }, weights, 32, 32);
        string[] blocks = ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2", "layer1.0.bn2", "layer1.0.conv3",
            "layer1.0.bn3", "layer1.0.downsample.0", "layer1.0.downsample.1", "fc"];
        Assert.Equal(blocks.Order(), weights.Dims.Keys.Select(name => name[..name.LastIndexOf('.')]).Distinct().Order());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_parameter_has_a_gradient(string name) => ParameterGradients.AssertAll(
        ResNet.Build(Configs[name], new RandomWeights(1), 24, 20), RandomTensor.Float(1, 2, 3, 24, 20));

    [Theory]
    [MemberData(nameof(Names))]
    public void A_model_for_any_size_computes_what_one_for_a_fixed_size_does(string name)
    {
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, 37, 50) };
        var expected = SessionRunner.Run(ResNet.Build(Configs[name], new RandomWeights(1), 37, 50), inputs)["logits"].AsSpan<float>();
        var actual = SessionRunner.Run(ResNet.Build(Configs[name], new RandomWeights(1)), inputs)["logits"].AsSpan<float>();
        Assert.Equal(2 * 5, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 1e-5f);
    }

    [Theory]
    [InlineData(28)]
    [InlineData(32)]
    public void The_small_variant_takes_small_images(int size)
    {
        var weights = new RecordedWeights();
        var config = ResNet.Variants["resnet_ela_nano"] with { ClassCount = 10, InputChannels = 1 };
        ResNet.Build(config, weights, size, size);
        Assert.InRange(weights.ParameterCount, 700_000, 1_200_000);
        var logits = SessionRunner.Run(ResNet.Build(config, new RandomWeights(1), size, size),
            new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 3, 1, size, size) })["logits"];
        Assert.Equal([3, 10], logits.Dims);
        Assert.All(logits.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
    }

    [Theory]
    [InlineData(32, "[N, 256, 32, 24] [N, 512, 16, 12] [N, 1024, 8, 6] [N, 2048, 4, 3]", "1 1 1 1 1 1 1 1")]
    [InlineData(16, "[N, 256, 32, 24] [N, 512, 16, 12] [N, 1024, 8, 6] [N, 2048, 8, 6]", "1 1 1 1 1 1 1 2")]
    [InlineData(8, "[N, 256, 32, 24] [N, 512, 16, 12] [N, 1024, 16, 12] [N, 2048, 16, 12]", "1 1 1 1 1 2 2 4")]
    public void Backbones_give_the_maps_of_all_stages(int outputStride, string shapes, string dilations)
    {
        var config = ResNet.Variants["resnet50"] with { Depths = [2, 2, 2, 2], Stem = ResNetStem.Deep };
        var graph = ResNet.BuildBackbone(config, new RecordedWeights(), 128, 96, outputStride).Graph;
        Assert.Equal(["c2", "c3", "c4", "c5"], graph.Outputs);
        Assert.Equal(shapes, string.Join(' ', graph.Outputs.Select(name => graph.Info(name).Shape)));
        var convolutions = graph.Nodes.Where(node => node.OpType == "Conv" && node.Name.Contains("/conv2/"));
        Assert.Equal(dilations, string.Join(' ', convolutions.Select(node => node.Attributes.Ints("dilations")![0])));
    }

    [Fact]
    public void Parameters_know_their_depth()
    {
        var config = ResNet.Variants["resnet18_ela_s"];
        Assert.Equal(10, config.LayerCount);
        Assert.Equal([0, 0, 1, 4, 8, 9], new[]
        {
            "conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer2.1.ela.conv.weight", "layer4.1.bn2.weight", "fc.bias",
        }.Select(config.LayerOf));
        Assert.True(config.IsHead("fc.weight"));
        Assert.False(config.IsHead("layer4.1.bn2.weight"));
    }

    [Fact]
    public void Configurations_that_contradict_themselves_are_refused()
    {
        Refused("Widths has 1 entries for 2 stages", Mini with { Widths = [16] });
        Refused("Depths has a stage without blocks", Mini with { Depths = [1, 0] });
        Refused("DropPathRate is 1", Mini with { DropPathRate = 1 });
        Refused("layer1.0.ela: efficient local attention with NormGroups 32 cannot be put on 16 channels",
            Mini with { Attention = Attention("ela_t") });
        Assert.Contains("output stride is 2",
            Assert.Throws<ArgumentException>(() => ResNet.BuildBackbone(Mini, new RandomWeights(1), 32, 32, 2)).Message);

        static void Refused(string reason, ResNetConfig config) =>
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => ResNet.Build(config, new RandomWeights(1), 32, 32)).Message);
    }

    private static EfficientLocalAttentionConfig Attention(string variant) => EfficientLocalAttentionConfig.Variants[variant];
}
