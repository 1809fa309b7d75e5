using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class MobileNetV2Tests
{
    [Theory]
    [InlineData("mobilenetv2", 3_504_872)]
    [InlineData("mobilenetv2_ela_b", 3_568_808)]
    [InlineData("mobilenetv2_ela_s", 3_803_240)]
    [InlineData("mobilenetv2_ela_l", 3_916_904)]
    public void Variants_have_the_published_number_of_parameters(string variant, long parameterCount)
    {
        var weights = new RecordedWeights();
        ImageClassifiers.Find(variant).Build(weights, 224, 224);
        Assert.Equal(parameterCount, weights.ParameterCount);
    }

    [Theory]
    [InlineData(1, 32, 16, 24, 1280)]
    [InlineData(0.35, 16, 8, 8, 1280)]
    [InlineData(0.1, 4, 4, 4, 1280)]
    [InlineData(1.4, 48, 24, 32, 1792)]
    public void Widths_are_rounded_as_published(double multiplier, int stem, int first, int second, int last)
    {
        var weights = new RecordedWeights();
        MobileNetV2.Build(new() { WidthMultiplier = multiplier }, weights, 64, 64);
        Assert.Equal([stem, first, second, last], new[]
        {
            "features.0.0.weight", "features.1.conv.3.weight", "features.2.conv.6.weight", "conv.0.weight",
        }.Select(name => (int)weights.Dims[name][0]));
    }

    [Theory]
    [InlineData("mobilenetv2")]
    [InlineData("mobilenetv2_ela_s")]
    public void Every_parameter_has_a_gradient(string variant) => ParameterGradients.AssertAll(
        (MobileNetV2.Variants[variant] with { ClassCount = 5, DropoutRate = 0 }).Build(new RandomWeights(1), 64, 64),
        RandomTensor.Float(1, 2, 3, 64, 64));

    [Fact]
    public void Parameters_know_their_depth()
    {
        var config = MobileNetV2.Variants["mobilenetv2_ela_s"];
        Assert.Equal([0, 2, 17, 18, 18], new[]
        {
            "features.0.0.weight", "features.2.conv.6.gn.bias", "features.17.conv.8.weight", "conv.0.weight", "classifier.1.bias",
        }.Select(config.LayerOf));
        Assert.Equal(19, config.LayerCount);
        Assert.True(config.IsHead("classifier.1.bias"));
    }

    [Fact]
    public void Configurations_that_do_not_work_are_refused()
    {
        Refused("features.3.conv.6: efficient local attention with NormGroups 32 cannot be put on 144 channels",
            new() { Attention = EfficientLocalAttentionConfig.Variants["ela_t"] });
        Refused("WidthMultiplier is 0", new() { WidthMultiplier = 0 });
        Refused("WidthMultiplier is NaN", new() { WidthMultiplier = double.NaN });
        Refused("DropoutRate is 1", new() { DropoutRate = 1 });
        Refused("DropPathRate is 0.1", new() { DropPathRate = 0.1f });

        static void Refused(string reason, MobileNetV2Config config) =>
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => MobileNetV2.Build(config, new RandomWeights(1), 64, 64)).Message);
    }
}
