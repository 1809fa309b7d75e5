using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public class ClipTextEncoderTests
{
    private static readonly ClipTextConfig Tiny = new()
    {
        VocabSize = 20, HiddenSize = 16, IntermediateSize = 32, NumHiddenLayers = 2, NumAttentionHeads = 2, MaxPositionEmbeddings = 6,
        ProjectionDim = 10, EosTokenId = 19,
    };

    private static readonly Tensor Ids = Tensor.Create<int>([18, 3, 5, 19, 19, 19, 18, 1, 2, 7, 9, 19], 2, 6);

    [Theory]
    [InlineData("clip_l", 123_060_480, 13, "pooler_output")]
    [InlineData("open_clip_big_g", 694_659_840, 33, "text_embeds")]
    public void Published_variants_have_as_many_parameters_as_their_checkpoints(string variant, long count, int states, string pooled)
    {
        var weights = new RecordedWeights();
        var graph = ClipTextEncoder.Build(ClipTextEncoder.Variants[variant], weights).Graph;
        Assert.Equal(count, weights.ParameterCount);
        Assert.Equal(["last_hidden_state", pooled, .. Enumerable.Range(0, states).Select(i => $"hidden_states.{i}")], graph.Outputs);
    }

    // Expected are the first and last values that a PyTorch implementation of the same definition computes.
    [Fact]
    public void Values_are_those_of_an_implementation_in_PyTorch()
    {
        var quick = Run(Tiny);
        AssertEnds([0.1438456f, 0.0838033f, -0.7016830f, -0.4742214f, 1.5325614f, -0.6562265f], quick["last_hidden_state"]);
        AssertEnds([0.3054274f, -1.3801875f, -0.5235488f, -0.7474168f, 1.5325614f, -0.6562265f], quick["pooler_output"]);
        AssertEnds([0.1658073f, -0.2840543f, 0.3029274f, -0.0421632f, -0.2136045f, 0.2149580f], quick["hidden_states.0"]);
        AssertEnds([0.1055177f, 1.3281935f, -0.2645673f, -0.6604685f, -0.0772819f, -0.1758947f], quick["hidden_states.1"]);
        var exact = Run(Tiny with { HiddenAct = "gelu", Architectures = ["CLIPTextModelWithProjection"] });
        AssertEnds([0.1458265f, 0.0738963f, -0.6883372f, -0.4656623f, 1.5286362f, -0.6577085f], exact["last_hidden_state"]);
        AssertEnds([-0.0840649f, -0.9747702f, 0.0416223f, 0.2324497f, 0.5452660f, -0.5424618f], exact["text_embeds"]);

        static Dictionary<string, Tensor> Run(ClipTextConfig config) => SessionRunner.Run(
            ClipTextEncoder.Build(config, new ReferenceParameters()), new Dictionary<string, Tensor> { ["input_ids"] = Ids });

        static void AssertEnds(float[] expected, Tensor actual)
        {
            var values = actual.AsSpan<float>();
            Assert.Equal(expected, [.. values[..4], .. values[^2..]], (a, b) => Math.Abs(a - b) < 1e-5);
        }
    }

    [Fact]
    public void The_mistaken_end_token_of_old_configurations_stands_for_the_last_one()
    {
        var inputs = new Dictionary<string, Tensor> { ["input_ids"] = Ids };
        Assert.Equal(
            SessionRunner.Run(ClipTextEncoder.Build(Tiny, new RandomWeights(1)), inputs)["pooler_output"].AsSpan<float>(),
            SessionRunner.Run(ClipTextEncoder.Build(Tiny with { EosTokenId = 2 }, new RandomWeights(1)), inputs)["pooler_output"].AsSpan<float>());
    }

    [Fact]
    public void Every_parameter_has_a_gradient()
    {
        var model = ClipTextEncoder.Build(Tiny with { Architectures = ["CLIPTextModelWithProjection"] }, new RandomWeights(1));
        // A bias of all keys alike changes no softmax.
        ParameterGradients.AssertAll(model, new Dictionary<string, Tensor> { ["input_ids"] = Ids }, "text_embeds",
            name => !name.EndsWith("k_proj.bias", StringComparison.Ordinal));
    }

    [Fact]
    public void Fewer_tokens_have_the_states_of_the_first_ones()
    {
        var builder = new GraphBuilder();
        var ids = builder.Input("input_ids", TensorElementType.Int64, ["N", 4]);
        builder.Output("states", ClipTextEncoder.Net(ids, Tiny, new(builder, new RandomWeights(1))).LastHiddenState);
        var few = SessionRunner.Run(builder.ToModel(), new Dictionary<string, Tensor>
        {
            ["input_ids"] = Tensor.Create<long>([18, 3, 5, 19, 18, 1, 2, 7], 2, 4),
        })["states"];
        var all = SessionRunner.Run(
            ClipTextEncoder.Build(Tiny, new RandomWeights(1)), new Dictionary<string, Tensor> { ["input_ids"] = Ids })["last_hidden_state"];
        Assert.Equal(all.AsSpan<float>()[..64].ToArray(), few.AsSpan<float>()[..64].ToArray(), (a, b) => Math.Abs(a - b) < 1e-5);
        Assert.Equal(all.AsSpan<float>().Slice(96, 64).ToArray(), few.AsSpan<float>()[64..].ToArray(), (a, b) => Math.Abs(a - b) < 1e-5);
    }

    [Fact]
    public void Contradictory_configurations_are_refused()
    {
        Assert.Equal("ClipTextConfig.HiddenAct is 'relu'; known are 'quick_gelu' and 'gelu'.",
            Assert.Throws<ArgumentException>(() => ClipTextEncoder.Build(Tiny with { HiddenAct = "relu" }, new RandomWeights(1))).Message);
        Assert.Equal("ClipTextConfig.HiddenSize is 16, which does not divide into 3 heads.",
            Assert.Throws<ArgumentException>(() => ClipTextEncoder.Build(Tiny with { NumAttentionHeads = 3 }, new RandomWeights(1))).Message);
    }
}
