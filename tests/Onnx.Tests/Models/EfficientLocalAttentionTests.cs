using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class EfficientLocalAttentionTests
{
    [Theory]
    [InlineData("ela_t", 1_792)]
    [InlineData("ela_b", 2_304)]
    [InlineData("ela_s", 10_752)]
    [InlineData("ela_l", 14_848)]
    public void Variants_have_the_published_number_of_parameters(string variant, long parameterCount)
    {
        var weights = new RecordedWeights();
        Apply(EfficientLocalAttentionConfig.Variants[variant], weights, 256, 14, 14);
        Assert.Equal(parameterCount, weights.ParameterCount);
        Assert.Equal(["ela.conv.weight", "ela.gn.bias", "ela.gn.weight"], weights.Dims.Keys.Order());
    }

    [Fact]
    public void Maps_that_the_attention_does_not_fit_are_refused()
    {
        Refused("ela: efficient local attention with NormGroups 32 cannot be put on 144 channels; take a multiple of 32", "ela_t", 144, 7, 7);
        Refused("NormGroups 16 cannot be put on 24 channels", "ela_b", 24, 7, 7);
        Refused("ela: a map of 7 x 1 with 16 channels leaves one value to each of the 16 groups", "ela_s", 16, 7, 1);
        Apply(EfficientLocalAttentionConfig.Variants["ela_s"], new RandomWeights(1), 32, 1, 1);
        var even = EfficientLocalAttentionConfig.Variants["ela_s"] with { Kernel = 4 };
        Assert.Contains("is 4; it must be odd",
            Assert.Throws<ArgumentException>(() => Apply(even, new RandomWeights(1), 32, 7, 7)).Message);
        var wide = EfficientLocalAttentionConfig.Variants["ela_s"] with { ChannelsPerGroup = 12 };
        Assert.Contains("ChannelsPerGroup 12 cannot be put on 32 channels",
            Assert.Throws<ArgumentException>(() => Apply(wide, new RandomWeights(1), 32, 7, 7)).Message);

        static void Refused(string reason, string variant, int channels, int height, int width) =>
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => Apply(
                EfficientLocalAttentionConfig.Variants[variant], new RandomWeights(1), channels, height, width)).Message);
    }

    private static void Apply(EfficientLocalAttentionConfig config, WeightSource weights, int channels, int height, int width)
    {
        var builder = new GraphBuilder();
        config.Apply(builder.Input("x", TensorElementType.Float, ["N", channels, height, width]), new Parameters(builder, weights)["ela"]);
    }
}
