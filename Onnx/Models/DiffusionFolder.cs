using System.Text.Json;
using System.Text.Json.Nodes;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// A folder that holds a latent diffusion pipeline such as Stable Diffusion as ONNX models, in the layout of Hugging Face optimum's
/// exports: <c>model_index.json</c>, <c>unet</c>, <c>text_encoder</c>, <c>vae_decoder</c>, <c>tokenizer</c>, <c>scheduler</c> and, where
/// there are any, <c>text_encoder_2</c>, <c>tokenizer_2</c>, <c>vae_encoder</c> and <c>id_encoder</c>.
/// </summary>
public sealed class DiffusionFolder
{
    internal const string ConfigName = "config.json", SchedulerFile = "scheduler_config.json";

    internal static readonly string[] TextEncoderNames = ["text_encoder", "text_encoder_2"];
    internal static readonly string[] TokenizerNames = ["tokenizer", "tokenizer_2"];

    private const string IndexFile = "model_index.json", ModelFile = "model.onnx", ForceZeros = "force_zeros_for_empty_prompt";

    private readonly JsonElement _index;

    private DiffusionFolder(string path, JsonElement index) => (Root, _index) = (path, index);

    /// <summary>The folder.</summary>
    public string Root { get; }

    /// <summary>The file of the UNet.</summary>
    public string Unet => At("unet", ModelFile);

    /// <summary>The files of the text encoders: one, or two.</summary>
    public IReadOnlyList<string> TextEncoders =>
        [.. TextEncoderNames.Select(name => At(name, ModelFile)).Where(File.Exists)];

    /// <summary>The folders of the text encoders' tokenizers.</summary>
    public IReadOnlyList<string> Tokenizers => [.. TokenizerNames.Take(TextEncoders.Count).Select(name => At(name))];

    /// <summary>The file of the autoencoder's decoder.</summary>
    public string VaeDecoder => At("vae_decoder", ModelFile);

    /// <summary>The file of the autoencoder's encoder, or null.</summary>
    public string? VaeEncoder => IfThere("vae_encoder");

    /// <summary>The file of the encoder of reference photos, or null: see <see cref="PhotoMaker"/>.</summary>
    public string? IdEncoder => IfThere("id_encoder");

    /// <summary>The folder of <c>scheduler_config.json</c>.</summary>
    public string Scheduler => At("scheduler");

    /// <summary>Whether a negative prompt that is not given stands for states of zero, rather than for those of the empty text.</summary>
    public bool ForceZerosForEmptyPrompt => ForcesZeros(_index);

    /// <summary>Opens a folder.</summary>
    /// <exception cref="InvalidDataException">The folder is of another layout; the message lists what is missing.</exception>
    public static DiffusionFolder Open(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        string[] required =
        [
            IndexFile, .. new[] { "unet", TextEncoderNames[0], "vae_decoder" }.Select(part => $"{part}/{ModelFile}"),
            $"unet/{ConfigName}", $"vae_decoder/{ConfigName}", $"{TokenizerNames[0]}/vocab.json", $"scheduler/{SchedulerFile}",
        ];
        var missing = required.Where(file => !File.Exists(Path.Combine(path, file))).ToArray();
        if (missing.Length > 0)
        {
            throw new InvalidDataException($"'{path}' is no folder of a diffusion pipeline as optimum exports it: "
                + $"it lacks {string.Join(", ", missing)}.");
        }
        return new(path, ReadIndex(path));
    }

    /// <summary>Writes a folder; files of the same names are replaced.</summary>
    /// <param name="path">The folder.</param>
    /// <param name="parts">What goes there.</param>
    /// <param name="halfStorage">
    /// Whether weights are kept in float16, in half the space, and become float32 when a model is opened.
    /// </param>
    /// <exception cref="ArgumentException">Text encoders, their configurations and their tokenizers differ in number.</exception>
    public static void Write(string path, DiffusionParts parts, bool halfStorage = false)
    {
        var count = parts.TextEncoders.Count;
        if (count is not (1 or 2) || parts.TextConfigs.Count != count || parts.Tokenizers.Count != count)
        {
            throw new ArgumentException($"There are {count} text encoders, {parts.TextConfigs.Count} configurations of them and "
                + $"{parts.Tokenizers.Count} tokenizers; a pipeline has one or two of each.", nameof(parts));
        }
        WriteModel("unet", parts.Unet, parts.UnetConfig);
        for (var i = 0; i < count; i++)
        {
            WriteModel(TextEncoderNames[i], parts.TextEncoders[i], parts.TextConfigs[i]);
            foreach (var (name, content) in parts.Tokenizers[i])
                File.WriteAllBytes(Path.Combine(Folder(TokenizerNames[i]), name), content);
        }
        WriteModel("vae_decoder", parts.VaeDecoder, parts.VaeConfig);
        if (parts.VaeEncoder is { } encoder)
            WriteModel("vae_encoder", encoder, parts.VaeConfig);
        if (parts.IdEncoder is { } idEncoder)
            SaveModel(idEncoder, Folder("id_encoder"));
        File.WriteAllText(Path.Combine(Folder("scheduler"), SchedulerFile), parts.SchedulerConfig);
        File.WriteAllText(Path.Combine(path, IndexFile), Index(parts).ToJsonString(new() { WriteIndented = true }));

        string Folder(string part) => Directory.CreateDirectory(Path.Combine(path, part)).FullName;

        void WriteModel<TConfig>(string part, OnnxModel model, TConfig config)
        {
            var folder = Folder(part);
            SaveModel(model, folder);
            ConfigFile.Write(Path.Combine(folder, ConfigName), config);
        }

        void SaveModel(OnnxModel model, string folder) =>
            (halfStorage ? HalfStorage.Convert(model) : model).Save(Path.Combine(folder, ModelFile));
    }

    /// <summary>Reads the hyper-parameters of the UNet.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration.</exception>
    public UNet2DConditionConfig ReadUnetConfig() => UNet2DConditionConfig.Read(At("unet", ConfigName));

    /// <summary>Reads the hyper-parameters of the autoencoder.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration.</exception>
    public AutoencoderKlConfig ReadVaeConfig() => AutoencoderKlConfig.Read(At("vae_decoder", ConfigName));

    /// <summary>Reads the hyper-parameters of the text encoders.</summary>
    /// <exception cref="InvalidDataException">A file is no such configuration.</exception>
    /// <exception cref="FileNotFoundException">A file is missing.</exception>
    public IReadOnlyList<ClipTextConfig> ReadTextConfigs() =>
        [.. TextEncoders.Select(model => ClipTextConfig.Read(Path.Combine(Path.GetDirectoryName(model)!, ConfigName)))];

    internal static JsonElement ReadIndex(string folder)
    {
        var path = Path.Combine(folder, IndexFile);
        try
        {
            using var index = JsonDocument.Parse(File.ReadAllBytes(path));
            return index.RootElement.Clone();
        }
        catch (Exception error) when (error is JsonException or FileNotFoundException)
        {
            throw new InvalidDataException($"'{path}' cannot be read: {error.Message}", error);
        }
    }

    internal static bool ForcesZeros(JsonElement index) =>
        index.TryGetProperty(ForceZeros, out var value) && value.ValueKind == JsonValueKind.True;

    private static JsonObject Index(DiffusionParts parts)
    {
        var isLarge = parts.TextEncoders.Count == 2;
        var index = new JsonObject
        {
            ["_class_name"] = isLarge ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline",
            ["_diffusers_version"] = "0.25.0",
            [ForceZeros] = parts.ForceZerosForEmptyPrompt,
            ["scheduler"] = Part("diffusers", SchedulerClass(parts.SchedulerConfig)),
            ["unet"] = Part("diffusers", parts.UnetConfig.ClassName),
            ["vae"] = Part("diffusers", parts.VaeConfig.ClassName),
        };
        for (var i = 0; i < parts.TextEncoders.Count; i++)
        {
            index[TextEncoderNames[i]] = Part("transformers", parts.TextConfigs[i].Architectures[0]);
            index[TokenizerNames[i]] = Part("transformers", "CLIPTokenizer");
        }
        return index;

        static JsonArray Part(string library, string type) => new(library, type);
    }

    private static string SchedulerClass(string config) =>
        JsonNode.Parse(config)?["_class_name"]?.GetValue<string>() ?? "DDIMScheduler";

    private string At(params string[] names) => Path.Combine([Root, .. names]);

    private string? IfThere(string part) => File.Exists(At(part, ModelFile)) ? At(part, ModelFile) : null;
}
