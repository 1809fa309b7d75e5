using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>The UNets of Stable Diffusion at their full size, whose weights nobody reads.</summary>
public class PublishedUnetTests
{
    [Fact]
    public void Sdxl_Has36ConsistentLayersOf70()
    {
        var config = UNet2DCondition.Variants["sdxl_base"];
        var consistent = ConsistentUnet.Rewrite(
            FreeU.Rewrite(UNet2DCondition.Build(config, new AbsentWeights())), new() { Config = config });
        Assert.Equal(36, consistent.Layers.Count);
        Assert.Equal(Enumerable.Repeat((1280, 20, 0), 30).Concat(Enumerable.Repeat((640, 10, 1), 6)), consistent.Layers.Select(Size));
        Assert.Equal("up_blocks.0.attentions.2.transformer_blocks.9.attn1", consistent.Layers[29].Name);
        Assert.True(consistent.Model.ToBytes().Length < 8_000_000);
    }

    [Fact]
    public void StableDiffusion15_Has9ConsistentLayersOf16()
    {
        var config = UNet2DCondition.Variants["sd15"];
        var unet = UNet2DCondition.Build(config, new AbsentWeights());
        var consistent = ConsistentUnet.Rewrite(unet, new() { Config = config, GroupCount = 1 });
        Assert.Equal(
            [.. Enumerable.Repeat((1280, 8, 0), 3), .. Enumerable.Repeat((640, 8, 1), 3), .. Enumerable.Repeat((320, 8, 2), 3)],
            consistent.Layers.Select(Size));
    }

    private static (int Channels, int HeadCount, int Level) Size(ConsistentLayer layer) => (layer.Channels, layer.HeadCount, layer.Level);
}
