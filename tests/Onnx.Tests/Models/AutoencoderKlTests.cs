using Microsoft.ML.Attention.Onnx.Goldens;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class AutoencoderKlTests
{
    private static readonly AutoencoderKlConfig Tiny = new() { BlockOutChannels = [8, 16], NormNumGroups = 4 };

    [Theory]
    [InlineData("sd15")]
    [InlineData("sdxl_base")]
    public void Published_variants_have_as_many_parameters_as_their_checkpoints(string variant)
    {
        var weights = new RecordedWeights();
        AutoencoderKl.BuildEncoder(AutoencoderKl.Variants[variant], weights);
        AutoencoderKl.BuildDecoder(AutoencoderKl.Variants[variant], weights);
        Assert.Equal(83_653_863, weights.ParameterCount);
    }

    // Expected are the first and last values that a PyTorch implementation of the same definition computes.
    [Fact]
    public void Values_are_those_of_an_implementation_in_PyTorch()
    {
        var latents = Run(AutoencoderKl.BuildEncoder(Tiny, new ReferenceParameters()), "sample", 2, 3, 8, 12);
        Assert.Equal([2, 8, 4, 6], latents.Dims);
        AssertEnds([0.6508390f, -0.1352604f, 0.6004969f, -0.2040722f, 0.2615957f, 0.2064346f], latents);
        var picture = Run(AutoencoderKl.BuildDecoder(Tiny, new ReferenceParameters()), "latent_sample", 2, 4, 4, 6);
        Assert.Equal([2, 3, 8, 12], picture.Dims);
        AssertEnds([-0.2842045f, -0.1764486f, 0.0138947f, 0.1026158f, 0.0071334f, 0.1831499f], picture);

        static Tensor Run(OnnxModel model, string input, params long[] dims) => SessionRunner.Run(
            model, new Dictionary<string, Tensor> { [input] = ReferenceValues.Input(input, dims, 0, -1, 1) })[model.Graph.Outputs[0]];

        static void AssertEnds(float[] expected, Tensor actual)
        {
            var values = actual.AsSpan<float>();
            Assert.Equal(expected, [.. values[..4], .. values[^2..]], (a, b) => Math.Abs(a - b) < 1e-5);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_parameter_has_a_gradient(bool attention)
    {
        var config = Tiny with { MidBlockAddAttention = attention };
        foreach (var (model, channels) in new[]
        {
            (AutoencoderKl.BuildEncoder(config, new RandomWeights(1)), 3), (AutoencoderKl.BuildDecoder(config, new RandomWeights(1)), 4),
        })
        {
            GraphSimplifier.FixSizes(model.Graph, new Dictionary<string, long> { ["H"] = 8, ["W"] = 8 }, model.Functions);
            // A bias of all keys alike changes no softmax.
            ParameterGradients.AssertAll(
                model, new Dictionary<string, Tensor> { [model.Graph.Inputs[0]] = RandomTensor.Float(1, 2, channels, 8, 8) }, model.Graph.Outputs[0],
                name => !name.EndsWith("to_k.bias", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Both_halves_take_their_parameters_from_one_checkpoint()
    {
        var weights = new[]
        {
            AutoencoderKl.BuildEncoder(Tiny, new RandomWeights(1)), AutoencoderKl.BuildDecoder(Tiny, new RandomWeights(1)),
        }.SelectMany(model => model.Graph.Initializers).Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary();
        var checkpoint = new Checkpoint(weights);
        AutoencoderKl.BuildEncoder(Tiny, checkpoint);
        AutoencoderKl.BuildDecoder(Tiny, checkpoint);
        weights.Remove("decoder.conv_in.bias");
        Assert.Contains("decoder.conv_in.bias",
            Assert.Throws<InvalidDataException>(() => AutoencoderKl.BuildDecoder(Tiny, new Checkpoint(weights))).Message);
    }

    [Fact]
    public void Contradictory_configurations_are_refused()
    {
        Assert.Equal("AutoencoderKlConfig.BlockOutChannels has 10, which does not divide into 4 groups.",
            Assert.Throws<ArgumentException>(
                () => AutoencoderKl.BuildDecoder(Tiny with { BlockOutChannels = [8, 10] }, new RandomWeights(1))).Message);
    }
}
