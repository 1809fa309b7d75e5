using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.Attention.Onnx.Tests.Models;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

public class ConsistentUnetTests
{
    [Fact]
    public void Rewrite_FindsTheLayersOfAnExportedUnet()
    {
        var unet = ExportedGraph.OfCase("onnx_tiny_unet_sdpa");
        var nodes = unet.Graph.Nodes.Count;
        var consistent = ConsistentUnet.Rewrite(unet);
        Assert.Equal(
        [
            new ConsistentLayer(0, "up_blocks.0.attentions.0.transformer_blocks.0.attn1", 16, 2, 0),
            new ConsistentLayer(1, "up_blocks.0.attentions.1.transformer_blocks.0.attn1", 16, 2, 0),
            new ConsistentLayer(2, "up_blocks.1.attentions.0.transformer_blocks.0.attn1", 8, 2, 1),
            new ConsistentLayer(3, "up_blocks.1.attentions.1.transformer_blocks.0.attn1", 8, 2, 1),
        ], consistent.Layers);
        Assert.Equal(2, consistent.GroupCount);
        Assert.Equal(2, consistent.LevelCount);
        Assert.Equal(nodes, unet.Graph.Nodes.Count);
    }

    [Theory]
    [InlineData("onnx_block_classic")]
    [InlineData("onnx_block_fused")]
    public void Rewrite_FindsTheLayersOfOtherExports(string name)
    {
        Assert.Equal(
        [
            new ConsistentLayer(0, "up_blocks.0.attentions.0.transformer_blocks.0.attn1", 16, 2, 0),
            new ConsistentLayer(1, "up_blocks.0.attentions.1.transformer_blocks.0.attn1", 16, 2, 0),
        ], ConsistentUnet.Rewrite(ExportedGraph.OfCase(name)).Layers);
    }

    [Theory]
    [InlineData("xl-plain-14")]
    [InlineData("xl-baddbmm-15")]
    [InlineData("xl-baddbmm-17-static")]
    [InlineData("xl-einsum-16")]
    [InlineData("xl-chunk-17")]
    [InlineData("xl-unbind-14")]
    [InlineData("xl-per_head-17")]
    [InlineData("xl-lora-14")]
    [InlineData("sd-plain-17")]
    [InlineData("sd-baddbmm-14")]
    public void Rewrite_ComputesWhatPyTorchComputes(string name)
    {
        var consistent = ConsistentUnet.Rewrite(ExportedGraph.OfPyTorch(name));
        Assert.Equal(
            name.StartsWith("sd", StringComparison.Ordinal) ? [0, 0, 1, 1, 2, 2] : [0, 0, 1, 1],
            consistent.Layers.Select(layer => layer.Level));
        AssertRight(consistent, name, 2e-5);
    }

    [Fact]
    public void Rewrite_UnderstandsOurOwnUnet()
    {
        var config = UNet2DCondition.Variants["sd_nano"];
        var unet = UNet2DCondition.Build(config, new RecordedWeights());
        var consistent = ConsistentUnet.Rewrite(unet, new() { Config = config });
        Assert.Equal(
        [
            (160, 5, 0), (160, 5, 0), (96, 3, 1), (96, 3, 1),
        ], consistent.Layers.Select(layer => (layer.Channels, layer.HeadCount, layer.Level)));
        Assert.Equal("up_blocks.1.attentions.1.transformer_blocks.0.attn1", consistent.Layers[3].Name);
        var inputs = new Dictionary<string, Tensor>
        {
            ["sample"] = RandomTensor.Float(1, 2, 4, 8, 12),
            ["timestep"] = Tensor.Scalar(500f),
            ["encoder_hidden_states"] = RandomTensor.Float(2, 2, 5, 128),
            [ConsistentUnet.ModeInput] = Tensor.Create<int>([0, 0, 0, 0], 4),
        };
        foreach (var layer in consistent.Layers)
        {
            inputs[layer.BankKeyInput] = inputs[layer.BankValueInput] = Tensor.Create<float>([], 2, 0, layer.Channels);
            var tokens = layer.Level == 0 ? 2 * 3 : 4 * 6;
            inputs[layer.MaskInput] = Tensor.Create<bool>(new bool[tokens], 1, tokens);
        }
        var (expected, actual) = (SessionRunner.Run(unet, inputs)["out_sample"], SessionRunner.Run(consistent.Model, inputs)["out_sample"]);
        Assert.All(
            expected.AsSpan<float>().ToArray().Zip(actual.AsSpan<float>().ToArray()),
            pair => Assert.Equal(pair.First, pair.Second, 1e-5));
    }

    public static TheoryData<string> Styles => [.. Restyle.Styles.Keys];

    [Theory]
    [MemberData(nameof(Styles))]
    public void Rewrite_UnderstandsOtherStyles(string style)
    {
        const string Name = "xl-plain-14";
        var consistent = ConsistentUnet.Rewrite(Restyle.Styles[style](ExportedGraph.OfPyTorch(Name)));
        Assert.Equal([0, 0, 1, 1], consistent.Layers.Select(layer => layer.Level));
        if (style == "half")
            AssertRight(consistent, Name, 1e-2, null); // the CPU has kernels of single precision only
        else
            AssertRight(consistent, Name, 2e-5);
    }

    [Theory]
    [InlineData("MultiHeadAttention", 2e-4)]
    [InlineData("MultiHeadAttention, all packed", 2e-4)]
    [InlineData("half", 1e-2)]
    public void Rewrite_ComputesTheSameOnCuda(string style, double tolerance)
    {
        CudaSession.SkipWithoutGpu();
        const string Name = "xl-plain-14";
        var consistent = ConsistentUnet.Rewrite(Restyle.Styles[style](ExportedGraph.OfPyTorch(Name)));
        AssertRight(consistent, Name, tolerance, CudaSession.Register);
    }

    private static void AssertRight(ConsistentUnet consistent, string name, double tolerance)
    {
        AssertRight(consistent, name, tolerance, null);
        AssertRight(consistent, name, tolerance, options => KernelLibrary.Register(options));
    }

    private static void AssertRight(ConsistentUnet consistent, string name, double tolerance, Action<SessionOptions>? configure)
    {
        using var passes = new StoryPasses(consistent, ExportedGraph.Results(name), configure);
        Assert.All(passes.Errors(name.EndsWith("static", StringComparison.Ordinal)), pass => Assert.InRange(pass.Error, 0, tolerance));
    }
}
