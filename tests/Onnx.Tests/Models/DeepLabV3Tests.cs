using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class DeepLabV3Tests
{
    private static readonly DeepLabV3Config Mini = new()
    {
        Backbone = new()
        {
            Block = ResNetBlock.Bottleneck, Depths = [1, 1, 2, 2], Widths = [16, 16, 16, 16],
            Attention = EfficientLocalAttentionConfig.Variants["ela_s"], AttentionPosition = ResNetAttentionPosition.Inner,
        },
        ClassCount = 3,
    };

    [Fact]
    public void Published_network_has_the_parameters_of_its_reference_case()
    {
        var weights = new RecordedWeights();
        DeepLabV3.Build(DeepLabV3.Variants["deeplabv3_resnet18_ela_s"], weights, 129, 161);
        Assert.Equal(15_984_725, weights.ParameterCount);
    }

    [Theory]
    [InlineData(16, "6 12 18")]
    [InlineData(8, "12 24 36")]
    public void The_pyramid_follows_the_output_stride(int outputStride, string rates)
    {
        var graph = DeepLabV3.Build(Mini with { OutputStride = outputStride }, new RecordedWeights(), 64, 96).Graph;
        Assert.Equal("[N, 3, 64, 96]", graph.Info("logits").Shape!.ToString());
        var pyramid = graph.Nodes.Where(node => node.OpType == "Conv" && node.Attributes.Ints("dilations")![0] >= 6);
        Assert.Equal(rates, string.Join(' ', pyramid.Select(node => node.Attributes.Ints("dilations")![0])));
        var head = graph.Nodes.First(node => node.Name.Contains("/convs.0.0/"));
        Assert.Equal($"[N, 64, {64 / outputStride}, {96 / outputStride}]", graph.Info(head.Inputs[0]).Shape!.ToString());
    }

    [Theory]
    [InlineData(16)]
    [InlineData(8)]
    public void A_model_for_any_size_computes_what_one_for_a_fixed_size_does(int outputStride)
    {
        var config = Mini with { OutputStride = outputStride };
        var inputs = new Dictionary<string, Tensor> { ["x"] = RandomTensor.Float(1, 2, 3, 61, 75) };
        var expected = SessionRunner.Run(DeepLabV3.Build(config, new RandomWeights(1), 61, 75), inputs)["logits"];
        var actual = SessionRunner.Run(DeepLabV3.Build(config, new RandomWeights(1)), inputs)["logits"];
        Assert.Equal([2, 3, 61, 75], actual.Dims);
        for (var i = 0; i < expected.ElementCount; i++)
            Assert.Equal(expected.AsSpan<float>()[i], actual.AsSpan<float>()[i], 1e-5f);
    }

    [Fact]
    public void Every_parameter_has_a_gradient() => ParameterGradients.AssertAll(
        DeepLabV3.Build(Mini with { OutputStride = 8 }, new RandomWeights(1), 64, 64), RandomTensor.Float(1, 2, 3, 64, 64));

    [Fact]
    public void Other_output_strides_are_refused() =>
        Assert.Contains("OutputStride is 32; it can be 8 or 16",
            Assert.Throws<ArgumentException>(() => DeepLabV3.Build(Mini with { OutputStride = 32 }, new RandomWeights(1))).Message);
}
