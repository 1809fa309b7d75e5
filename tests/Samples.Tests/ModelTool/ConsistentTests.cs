using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Samples.Tests.ModelTool;

public sealed class ConsistentTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ConsistentTests() => WriteUnet("unet.onnx");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Consistent_WritesTheModelBesideItsWeightsAndListsTheLayers()
    {
        var result = ModelToolProcess.Run("consistent", _folder["unet.onnx"], "-o", _folder["story.onnx"], "--freeu");

        Assert.True(result.ExitCode == 0, result.Error);
        Assert.Contains("4 consistent self-attentions at 2 resolutions", result.Output);
        Assert.Contains("FreeU", result.Output);
        Assert.Matches(@"3 +up_blocks\.1\.attentions\.1\.transformer_blocks\.0\.attn1 +96 +3 +csa_mask\.1", result.Output);
        Assert.False(File.Exists(_folder["story.onnx.data"]));
        var consistent = new ConsistentUnet(OnnxModel.Load(_folder["story.onnx"]));
        Assert.Equal((4, 2), (consistent.Layers.Count, consistent.GroupCount));

        var again = ModelToolProcess.Run("consistent", _folder["unet.onnx"], "-o", _folder["story.onnx"]);
        Assert.Equal(4, again.ExitCode);
        Assert.Contains("--overwrite", again.Error);
        result = ModelToolProcess.Run("consistent", _folder["unet.onnx"], "-o", _folder["story.onnx"], "--overwrite", "--without-guidance");
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(1, new ConsistentUnet(OnnxModel.Load(_folder["story.onnx"])).GroupCount);
    }

    [Fact]
    public void Consistent_RefusesWhatIsNoUnet()
    {
        ImageClassifiers.Find("biformer_nano").Build(new RandomWeights(1), 28, 28).Save(_folder["classifier.onnx"]);
        Refuses("classifier.onnx", "no self-attention in up blocks");

        Assert.Equal(0, ModelToolProcess.Run("consistent", _folder["unet.onnx"], "-o", _folder["story.onnx"]).ExitCode);
        Refuses("story.onnx", "consistent self-attention already");

        File.WriteAllText(_folder["config.json"], """{ "block_out_channels": [64, 96, 160, 160], "norm_num_groups": 32 }""");
        Refuses("unet.onnx", "Up block 0", "expected 0 self-attentions by the configuration, found 2");
        File.WriteAllText(_folder["config.json"], "no configuration");
        Refuses("unet.onnx", "config.json");

        File.WriteAllText(_folder["damaged.onnx"], "no model");
        Refuses("damaged.onnx", "not an ONNX model");
        Refuses("missing.onnx", "missing.onnx");
        File.Delete(_folder["unet.onnx.data"]);
        Refuses("unet.onnx", "missing beside the model");

        void Refuses(string unet, params string[] parts)
        {
            var result = ModelToolProcess.Run("consistent", _folder[unet], "-o", _folder["refused.onnx"]);
            Assert.Equal(3, result.ExitCode);
            Assert.All(parts, part => Assert.Contains(part, result.Error));
            Assert.DoesNotContain("   at ", result.Error);
            Assert.False(File.Exists(_folder["refused.onnx"]));
        }
    }

    private void WriteUnet(string name) =>
        UNet2DCondition.Build(UNet2DCondition.Variants["sd_nano"], new RandomWeights(1)).Save(_folder[name], externalDataThreshold: 1 << 20);
}
