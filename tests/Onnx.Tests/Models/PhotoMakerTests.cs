using Microsoft.ML.Attention.Onnx.Goldens;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class PhotoMakerTests
{
    private static readonly PhotoMakerConfig Tiny = new()
    {
        ImageSize = 8, PatchSize = 4, HiddenSize = 16, IntermediateSize = 32, NumHiddenLayers = 2, NumAttentionHeads = 2, ProjectionDim = 6,
        SecondProjectionDim = 10,
    };

    private static readonly bool[] Marks = [false, true, true, false, false, false, false, false, true, true];

    private static Dictionary<string, Tensor> Inputs => new()
    {
        ["id_pixel_values"] = ReferenceValues.Input("id_pixel_values", [2, 2, 3, 8, 8], 0, -1, 1),
        ["prompt_embeds"] = ReferenceValues.Input("prompt_embeds", [2, 5, 16], 0, -1, 1),
        ["class_tokens_mask"] = Tensor.Create<bool>(Marks, 2, 5),
    };

    [Fact]
    public void The_published_variant_has_the_parameters_of_the_checkpoint()
    {
        var weights = new RecordedWeights();
        PhotoMaker.Build(PhotoMaker.Variants["photomaker_v1"], weights);
        Assert.Equal(326_273_024, weights.ParameterCount);
        Assert.Equal([4096], weights.Dims["fuse_module.mlp1.layernorm.weight"]);
        Assert.Equal([1280, 1024], weights.Dims["visual_projection_2.weight"]);
    }

    // Expected are the first and last values of tokens that a PyTorch implementation of the same definition computes.
    [Fact]
    public void Marked_tokens_are_those_of_an_implementation_in_PyTorch_and_others_stay()
    {
        var updated = SessionRunner.Run(PhotoMaker.Build(Tiny, new ReferenceParameters()), Inputs)["updated_prompt_embeds"];
        AssertEnds(1, [0.9173708f, 1.7055776f, 0.1891989f, -0.0774598f, -0.9831187f, 1.8680139f]);
        AssertEnds(2, [-1.3632290f, 0.6054145f, 0.0404079f, -0.8765489f, 1.0865730f, 0.1416053f]);
        AssertEnds(9, [-0.0952502f, -0.4151530f, 0.5006601f, 0.3706323f, -1.0077270f, -0.0056861f]);
        var prompt = Inputs["prompt_embeds"];
        for (var token = 0; token < Marks.Length; token++)
            Assert.Equal(!Marks[token], Token(prompt, token).SequenceEqual(Token(updated, token)));

        void AssertEnds(int token, float[] expected)
        {
            var values = Token(updated, token);
            Assert.Equal(expected, [.. values[..4], .. values[^2..]], (a, b) => Math.Abs(a - b) < 1e-5);
        }

        static ReadOnlySpan<float> Token(Tensor tokens, int token) => tokens.AsSpan<float>().Slice(token * 16, 16);
    }

    [Fact]
    public void Every_parameter_has_a_gradient()
    {
        var model = PhotoMaker.Build(Tiny, new RandomWeights(1));
        GraphSimplifier.FixSizes(model.Graph, new Dictionary<string, long> { ["K"] = 2, ["T"] = 5 }, model.Functions);
        // A bias of all keys alike changes no softmax.
        ParameterGradients.AssertAll(
            model, Inputs, "updated_prompt_embeds", name => !name.EndsWith("k_proj.bias", StringComparison.Ordinal));
    }

    [Fact]
    public void Contradictory_configurations_are_refused() =>
        Assert.Equal("PhotoMakerConfig.ImageSize is 10, which does not divide into patches of 4.",
            Assert.Throws<ArgumentException>(() => PhotoMaker.Build(Tiny with { ImageSize = 10 }, new RandomWeights(1))).Message);
}
