using Microsoft.ML.Attention.Onnx.Surgery;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

public class ConsistentUnetTests
{
    [Fact]
    public void Rewrite_FindsTheLayersOfAnExportedUnet()
    {
        var unet = ExportedGraph.Load("onnx_tiny_unet_sdpa");
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
        ], ConsistentUnet.Rewrite(ExportedGraph.Load(name)).Layers);
    }
}
