using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

/// <summary>A text-to-image model of random weights in a folder as optimum writes it: Stable Diffusion's kind or SDXL's.</summary>
public sealed class TinyDiffusionFolder : IDisposable
{
    private const int TextWidth = 16, TextLength = 20;

    public TinyDiffusionFolder(bool isXl = false, bool readsPhotos = false)
    {
        var tokenizer = ClipTokenizer.FromMerges([("t", "h"), ("th", "e</w>"), ("i", "n</w>")]);
        var text = new ClipTextConfig
        {
            VocabSize = tokenizer.Vocabulary.Count, HiddenSize = TextWidth, IntermediateSize = 32, NumHiddenLayers = 2, NumAttentionHeads = 2,
            MaxPositionEmbeddings = TextLength, EosTokenId = tokenizer.End, ProjectionDim = 12,
        };
        ClipTextConfig[] texts = isXl ? [text, text with { Architectures = ["CLIPTextModelWithProjection"] }] : [text];
        var unet = new UNet2DConditionConfig
        {
            SampleSize = 8, DownBlockTypes = ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            UpBlockTypes = ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], BlockOutChannels = [8, 8, 16], LayersPerBlock = [1],
            AttentionHeadDim = [1, 2, 2], CrossAttentionDim = texts.Length * TextWidth, UseLinearProjection = true, NormNumGroups = 4,
        };
        if (isXl)
            unet = unet with { AdditionEmbedType = "text_time", AdditionTimeEmbedDim = 4, ProjectionClassEmbeddingsInputDim = 6 * 4 + 12 };
        var autoencoder = new AutoencoderKlConfig
        {
            BlockOutChannels = [8, 8, 8, 8], NormNumGroups = 4, MidBlockAddAttention = false, ScalingFactor = 0.5f, ForceUpcast = false,
        };
        tokenizer.Save(Folder);
        var files = new[] { "vocab.json", "merges.txt" }.ToDictionary(name => name, name => File.ReadAllBytes(Path.Combine(Folder, name)));
        DiffusionFolder.Write(Folder, new()
        {
            Unet = UNet2DCondition.Build(unet, new RandomWeights(3)),
            UnetConfig = unet,
            TextEncoders = [.. texts.Select((config, i) => ClipTextEncoder.Build(config, new RandomWeights(i)))],
            TextConfigs = texts,
            VaeDecoder = AutoencoderKl.BuildDecoder(autoencoder, new RandomWeights(4)),
            VaeConfig = autoencoder,
            IdEncoder = readsPhotos
                ? PhotoMaker.Build(
                    new()
                    {
                        ImageSize = 8, PatchSize = 4, HiddenSize = 16, IntermediateSize = 32, NumHiddenLayers = 1, NumAttentionHeads = 2,
                        ProjectionDim = TextWidth, SecondProjectionDim = TextWidth,
                    },
                    new RandomWeights(5))
                : null,
            Tokenizers = [.. texts.Select(_ => files)],
            SchedulerConfig = """
                {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
                "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1}
                """,
        });
    }

    public string Folder { get; } = Directory.CreateTempSubdirectory("diffusion").FullName;

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
