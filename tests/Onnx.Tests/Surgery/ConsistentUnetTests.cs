using Microsoft.ML.Attention.Onnx.Surgery;

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
        Assert.Equal(name.StartsWith("sd", StringComparison.Ordinal) ? [0, 0, 1, 1, 2, 2] : [0, 0, 1, 1], consistent.Layers.Select(layer => layer.Level));
        AssertRight(consistent, name, 2e-5);
    }

    private static void AssertRight(ConsistentUnet consistent, string name, double tolerance)
    {
        foreach (var withKernels in new[] { false, true })
        {
            using var passes = new StoryPasses(consistent, ExportedGraph.Results(name), withKernels);
            Assert.All(passes.Errors(name.EndsWith("static", StringComparison.Ordinal)), pass => Assert.InRange(pass.Error, 0, tolerance));
        }
    }
}
