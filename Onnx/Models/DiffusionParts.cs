using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The parts of a latent diffusion pipeline, to be written by <see cref="DiffusionFolder.Write"/>.</summary>
public sealed record DiffusionParts
{
    /// <summary>The UNet: see <see cref="UNet2DCondition.Build"/>.</summary>
    public required OnnxModel Unet { get; init; }

    /// <summary>The UNet's hyper-parameters.</summary>
    public required UNet2DConditionConfig UnetConfig { get; init; }

    /// <summary>The text encoder, or both of them: see <see cref="ClipTextEncoder.Build"/>.</summary>
    public required IReadOnlyList<OnnxModel> TextEncoders { get; init; }

    /// <summary>The text encoders' hyper-parameters.</summary>
    public required IReadOnlyList<ClipTextConfig> TextConfigs { get; init; }

    /// <summary>The autoencoder's decoder: see <see cref="AutoencoderKl.BuildDecoder"/>.</summary>
    public required OnnxModel VaeDecoder { get; init; }

    /// <summary>The autoencoder's encoder, which making pictures from texts has no need of: see <see cref="AutoencoderKl.BuildEncoder"/>.</summary>
    public OnnxModel? VaeEncoder { get; init; }

    /// <summary>The autoencoder's hyper-parameters.</summary>
    public required AutoencoderKlConfig VaeConfig { get; init; }

    /// <summary>The encoder of reference photos, where there is one: see <see cref="PhotoMaker.Build"/>.</summary>
    public OnnxModel? IdEncoder { get; init; }

    /// <summary>For each text encoder the files of its tokenizer by name: <c>vocab.json</c>, <c>merges.txt</c>, <c>tokenizer_config.json</c>.</summary>
    public required IReadOnlyList<IReadOnlyDictionary<string, byte[]>> Tokenizers { get; init; }

    /// <summary>The content of <c>scheduler_config.json</c>.</summary>
    public required string SchedulerConfig { get; init; }

    /// <summary>Whether a negative prompt that is not given stands for states of zero, rather than for those of the empty text.</summary>
    public bool ForceZerosForEmptyPrompt { get; init; }

    /// <summary>
    /// Builds the models of a checkpoint as diffusers saves it: a folder with <c>model_index.json</c>, <c>unet</c>, <c>vae</c>,
    /// <c>text_encoder</c> and so on, each with <c>config.json</c> and one file of weights. Weights become float32 and are in memory.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="InvalidDataException">A file is missing, or weights do not fit their configuration.</exception>
    /// <exception cref="NotSupportedException">A configuration is of a kind that Stable Diffusion has not.</exception>
    public static DiffusionParts FromCheckpoint(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        var texts = DiffusionFolder.TextEncoderNames.Select(name => Path.Combine(folder, name)).Where(Directory.Exists).ToArray();
        var (unetConfig, vaeConfig) = (UNet2DConditionConfig.Read(Config("unet")), AutoencoderKlConfig.Read(Config("vae")));
        var textConfigs = Array.ConvertAll(texts, text => ClipTextConfig.Read(Config(text)));
        var vae = Weights("vae");
        return new()
        {
            Unet = UNet2DCondition.Build(unetConfig, Weights("unet")),
            UnetConfig = unetConfig,
            TextEncoders = [.. texts.Zip(textConfigs, (text, config) => ClipTextEncoder.Build(config, Weights(text)))],
            TextConfigs = textConfigs,
            VaeDecoder = AutoencoderKl.BuildDecoder(vaeConfig, vae),
            VaeEncoder = AutoencoderKl.BuildEncoder(vaeConfig, vae),
            VaeConfig = vaeConfig,
            Tokenizers = [.. DiffusionFolder.TokenizerNames.Take(texts.Length).Select(name => Files(Existing(Path.Combine(folder, name))))],
            SchedulerConfig = File.ReadAllText(Existing(Path.Combine(folder, "scheduler", DiffusionFolder.SchedulerFile))),
            ForceZerosForEmptyPrompt = DiffusionFolder.ForcesZeros(DiffusionFolder.ReadIndex(folder)),
        };

        string Config(string part) => Existing(Path.Combine(folder, part, DiffusionFolder.ConfigName));

        Checkpoint Weights(string part)
        {
            string[] kinds = [".safetensors", ".bin"];
            var files = Directory.GetFiles(Path.Combine(folder, part)).Where(file => kinds.Contains(Path.GetExtension(file))).Order().ToArray();
            // Where there are several, the shortest name is that of the widest numbers.
            var file = files.OrderBy(file => Array.IndexOf(kinds, Path.GetExtension(file))).ThenBy(file => file.Length).FirstOrDefault();
            return Checkpoint.Load(file ?? throw new InvalidDataException(
                $"'{Path.Combine(folder, part)}' has no weights, neither .safetensors nor .bin."));
        }

        static string Existing(string path) => Path.Exists(path) ? path : throw new InvalidDataException($"'{path}' is missing.");

        static Dictionary<string, byte[]> Files(string folder) =>
            Directory.GetFiles(folder).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);
    }
}
