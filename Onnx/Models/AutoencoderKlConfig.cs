using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of an <see cref="AutoencoderKl"/>, with the names and the meaning of diffusers' <c>vae/config.json</c>.</summary>
public sealed record AutoencoderKlConfig
{
    /// <summary>The number of channels of the pictures that go in.</summary>
    public int InChannels { get; init; } = 3;

    /// <summary>The number of channels of the pictures that come out.</summary>
    public int OutChannels { get; init; } = 3;

    /// <summary>The number of channels of each block, from the highest resolution down; each block but the last halves the map.</summary>
    public IReadOnlyList<int> BlockOutChannels { get; init; } = [64];

    /// <summary>The number of residual blocks of each block of the encoder; the decoder has one more.</summary>
    public int LayersPerBlock { get; init; } = 1;

    /// <summary>The number of channels of the latents.</summary>
    public int LatentChannels { get; init; } = 4;

    /// <summary>The number of groups of the normalisations.</summary>
    public int NormNumGroups { get; init; } = 32;

    /// <summary>Whether the positions of the lowest resolution attend to each other.</summary>
    public bool MidBlockAddAttention { get; init; } = true;

    /// <summary>What latents are multiplied by before the diffusion, so that their deviation is 1, and divided by after it.</summary>
    public float ScalingFactor { get; init; } = 0.18215f;

    /// <summary>Whether values leave the range of float16, so that the decoder has to run in float32.</summary>
    public bool ForceUpcast { get; init; } = true;

    /// <summary>The height and width of the pictures that the model was trained on; it takes others.</summary>
    public int SampleSize { get; init; } = 32;

    /// <summary>What else the file says; kept for writing.</summary>
    [JsonInclude]
    [JsonExtensionData]
    internal IDictionary<string, JsonElement>? Others { get; init; }

    [JsonInclude]
    [JsonPropertyName("_class_name")]
    [JsonPropertyOrder(-1)]
    internal string ClassName => "AutoencoderKL";

    [JsonInclude]
    internal IReadOnlyList<string> DownBlockTypes => [.. Enumerable.Repeat("DownEncoderBlock2D", BlockOutChannels.Count)];

    [JsonInclude]
    internal IReadOnlyList<string> UpBlockTypes => [.. Enumerable.Repeat("UpDecoderBlock2D", BlockOutChannels.Count)];

    // What other models of the class have, by the values that Stable Diffusion's do have.
    private static readonly Dictionary<string, string[]> Fixed = new()
    {
        ["act_fn"] = ["silu", "swish"],
        ["latents_mean"] = [""],
        ["latents_std"] = [""],
        ["shift_factor"] = [""],
        ["use_post_quant_conv"] = ["True"],
        ["use_quant_conv"] = ["True"],
    };

    /// <summary>How many pixels of the picture a latent stands for, along each side.</summary>
    [JsonIgnore]
    public int Reduction => 1 << (BlockOutChannels.Count - 1);

    /// <summary>Reads a <c>config.json</c>.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration.</exception>
    public static AutoencoderKlConfig Read(string path) => ConfigFile.Read<AutoencoderKlConfig>(path);

    internal void Validate()
    {
        ConfigFile.ThrowIfOther(nameof(AutoencoderKlConfig), Others, Fixed);
        if (BlockOutChannels.Count == 0)
            throw new ArgumentException($"{nameof(AutoencoderKlConfig)}.{nameof(BlockOutChannels)} is empty.");
        if (BlockOutChannels.FirstOrDefault(channels => channels <= 0 || channels % NormNumGroups != 0) is not 0 and var odd)
        {
            throw new ArgumentException(
                $"{nameof(AutoencoderKlConfig)}.{nameof(BlockOutChannels)} has {odd}, which does not divide into {NormNumGroups} groups.");
        }
        if (ScalingFactor <= 0)
            throw new ArgumentException($"{nameof(AutoencoderKlConfig)}.{nameof(ScalingFactor)} is {ScalingFactor}; it must be positive.");
    }
}
