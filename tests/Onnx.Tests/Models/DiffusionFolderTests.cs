using System.Text;
using System.Text.Json.Nodes;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

public sealed class DiffusionFolderTests : IDisposable
{
    private static readonly UNet2DConditionConfig Unet = new()
    {
        DownBlockTypes = ["DownBlock2D", "CrossAttnDownBlock2D"],
        UpBlockTypes = ["CrossAttnUpBlock2D", "UpBlock2D"],
        BlockOutChannels = [32, 64],
        LayersPerBlock = [1],
        AttentionHeadDim = [2],
        CrossAttentionDim = 16,
        NormNumGroups = 4,
    };

    private static readonly AutoencoderKlConfig Vae = new() { BlockOutChannels = [8, 16], NormNumGroups = 4, ScalingFactor = 0.5f };

    private static readonly ClipTextConfig Text = new()
    {
        VocabSize = 20, HiddenSize = 16, IntermediateSize = 32, NumHiddenLayers = 1, NumAttentionHeads = 2, MaxPositionEmbeddings = 6,
        EosTokenId = 19,
    };

    private static readonly DiffusionParts Parts = new()
    {
        Unet = UNet2DCondition.Build(Unet, new RandomWeights(1)),
        UnetConfig = Unet,
        TextEncoders = [ClipTextEncoder.Build(Text, new RandomWeights(1))],
        TextConfigs = [Text],
        VaeDecoder = AutoencoderKl.BuildDecoder(Vae, new RandomWeights(1)),
        VaeEncoder = AutoencoderKl.BuildEncoder(Vae, new RandomWeights(1)),
        VaeConfig = Vae,
        Tokenizers = [new Dictionary<string, byte[]> { ["vocab.json"] = Encoding.UTF8.GetBytes("{}"), ["merges.txt"] = [] }],
        SchedulerConfig = """{ "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085 }""",
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("diffusion").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_is_written_is_found_and_runs()
    {
        DiffusionFolder.Write(_folder, Parts);
        var folder = DiffusionFolder.Open(_folder);
        Assert.Equal(Unet.BlockOutChannels, folder.ReadUnetConfig().BlockOutChannels);
        Assert.Equal(0.5f, folder.ReadVaeConfig().ScalingFactor);
        Assert.Equal(20, Assert.Single(folder.ReadTextConfigs()).VocabSize);
        Assert.Equal("{}", File.ReadAllText(Path.Combine(Assert.Single(folder.Tokenizers), "vocab.json")));
        Assert.Equal(Parts.SchedulerConfig, File.ReadAllText(Path.Combine(folder.Scheduler, "scheduler_config.json")));
        Assert.False(folder.ForceZerosForEmptyPrompt);
        Assert.Null(folder.IdEncoder);
        DiffusionFolder.Write(_folder, Parts with { IdEncoder = Parts.VaeDecoder });
        Assert.Equal(Path.Combine(_folder, "id_encoder", "model.onnx"), DiffusionFolder.Open(_folder).IdEncoder);
        AssertSame(Run(Parts.Unet), Run(OnnxModel.Load(folder.Unet)), 0);
        foreach (var file in (string[])[folder.VaeDecoder, folder.VaeEncoder!, .. folder.TextEncoders])
            new InferenceSession(file).Dispose();
        var index = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder, "model_index.json")))!;
        Assert.Equal("EulerDiscreteScheduler", (string?)index["scheduler"]![1]);
        Assert.Equal("CLIPTextModel", (string?)index["text_encoder"]![1]);
    }

    [Fact]
    public void Weights_in_half_take_half_the_space_and_compute_nearly_the_same()
    {
        DiffusionFolder.Write(_folder, Parts, halfStorage: true);
        var model = OnnxModel.Load(DiffusionFolder.Open(_folder).Unet);
        Assert.InRange(Weights(model), 0.49 * Weights(Parts.Unet), 0.52 * Weights(Parts.Unet));
        AssertSame(Run(Parts.Unet), Run(model), 5e-3f);
        Assert.Equal(2, ConsistentUnet.Rewrite(model).Layers.Count);

        static long Weights(OnnxModel model) => model.Graph.Initializers.Values.Sum(tensor => tensor.ByteCount);
    }

    [Fact]
    public void Checkpoints_of_diffusers_become_a_folder()
    {
        var source = Directory.CreateDirectory(Path.Combine(_folder, "checkpoint")).FullName;
        WritePart("unet", Unet, name => name, Parts.Unet);
        // With the names that older versions of diffusers gave the attention.
        WritePart("vae", Vae, name => name.Replace("0.to_q", "0.query").Replace("0.to_k", "0.key").Replace("0.to_v", "0.value")
            .Replace("0.to_out.0", "0.proj_attn"), Parts.VaeEncoder!, Parts.VaeDecoder);
        WritePart("text_encoder", Text, name => name, Parts.TextEncoders[0]);
        foreach (var (name, text) in new[]
        {
            ("tokenizer/vocab.json", "{}"), ("tokenizer/merges.txt", ""), ("scheduler/scheduler_config.json", "{}"),
            ("model_index.json", """{ "force_zeros_for_empty_prompt": true }"""),
        })
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(source, name))!);
            File.WriteAllText(Path.Combine(source, name), text);
        }

        var target = Path.Combine(_folder, "onnx");
        DiffusionFolder.Write(target, DiffusionParts.FromCheckpoint(source));

        var folder = DiffusionFolder.Open(target);
        Assert.True(folder.ForceZerosForEmptyPrompt);
        AssertSame(Run(Parts.Unet), Run(OnnxModel.Load(folder.Unet)), 0);
        AssertWeights(Parts.VaeDecoder, folder.VaeDecoder);
        AssertWeights(Parts.VaeEncoder!, folder.VaeEncoder!);
        AssertWeights(Parts.TextEncoders[0], folder.TextEncoders[0]);
        File.Delete(Path.Combine(source, "unet", "diffusion_pytorch_model.safetensors"));
        Assert.Contains("has no weights", Assert.Throws<InvalidDataException>(() => DiffusionParts.FromCheckpoint(source)).Message);

        void WritePart<TConfig>(string part, TConfig config, Func<string, string> rename, params OnnxModel[] models)
        {
            var path = Directory.CreateDirectory(Path.Combine(source, part)).FullName;
            ConfigFile.Write(Path.Combine(path, "config.json"), config);
            var weights = models.SelectMany(model => model.Graph.Initializers).Where(pair => Graph.IsWeight(pair.Key, pair.Value))
                .ToDictionary(pair => rename(pair.Key), pair => pair.Value);
            SafetensorsFile.Write(Path.Combine(path, "diffusion_pytorch_model.safetensors"), weights);
        }

        static void AssertWeights(OnnxModel expected, string file)
        {
            var actual = OnnxModel.Load(file).Graph.Initializers;
            foreach (var (name, tensor) in expected.Graph.Initializers)
                Assert.True(tensor.Data.Span.SequenceEqual(actual[name].Data.Span), name);
        }
    }

    [Fact]
    public void Folders_of_another_layout_are_refused_with_what_they_lack()
    {
        DiffusionFolder.Write(_folder, Parts);
        Directory.Delete(Path.Combine(_folder, "unet"), recursive: true);
        Assert.Equal($"'{_folder}' is no folder of a diffusion pipeline as optimum exports it: it lacks unet/model.onnx, unet/config.json.",
            Assert.Throws<InvalidDataException>(() => DiffusionFolder.Open(_folder)).Message);
        File.WriteAllText(Path.Combine(_folder, "model_index.json"), "{");
        DiffusionFolder.Write(_folder, Parts);
        File.WriteAllText(Path.Combine(_folder, "model_index.json"), "{");
        Assert.Contains("cannot be read", Assert.Throws<InvalidDataException>(() => DiffusionFolder.Open(_folder)).Message);
        Assert.Contains("1 text encoders, 0 configurations of them and 1 tokenizers",
            Assert.Throws<ArgumentException>(() => DiffusionFolder.Write(_folder, Parts with { TextConfigs = [] })).Message);
    }

    private static Tensor Run(OnnxModel model) => SessionRunner.Run(model, new Dictionary<string, Tensor>
    {
        ["sample"] = RandomTensor.Float(1, 2, 4, 8, 8),
        ["timestep"] = Tensor.Scalar(500f),
        ["encoder_hidden_states"] = RandomTensor.Float(2, 2, 6, 16),
    })["out_sample"];

    private static void AssertSame(Tensor expected, Tensor actual, float tolerance) => Assert.Equal(
        expected.AsSpan<float>().ToArray(), actual.AsSpan<float>().ToArray(), (a, b) => Math.Abs(a - b) <= tolerance);
}
