using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The variational autoencoder of Stable Diffusion, between pictures and the latents that the diffusion works on. Parameters have the
/// names of diffusers' checkpoints, which hold both halves; nodes are named after the modules.
/// <para>Sources: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv 2112.10752);
/// <c>AutoencoderKL</c> of repository huggingface/diffusers 0.25.</para>
/// </summary>
public static class AutoencoderKl
{
    private const float NormEpsilon = 1e-6f;

    private static readonly string[] EncoderModules = ["encoder.", "quant_conv."];
    private static readonly string[] DecoderModules = ["decoder.", "post_quant_conv."];

    /// <summary>
    /// The published models: <c>sd15</c> (Stable Diffusion 1.x) and <c>sdxl_base</c>; and <c>sd_nano</c>, a small one of ours that is
    /// quickly trained.
    /// </summary>
    public static IReadOnlyDictionary<string, AutoencoderKlConfig> Variants { get; } = new Dictionary<string, AutoencoderKlConfig>
    {
        ["sd15"] = new() { BlockOutChannels = [128, 256, 512, 512], LayersPerBlock = 2, SampleSize = 512, ForceUpcast = false },
        ["sdxl_base"] = new()
        {
            BlockOutChannels = [128, 256, 512, 512], LayersPerBlock = 2, SampleSize = 1024, ScalingFactor = 0.13025f,
        },
        ["sd_nano"] = new()
        {
            BlockOutChannels = [32, 64, 96, 96], SampleSize = 128, MidBlockAddAttention = false, ScalingFactor = 1, ForceUpcast = false,
        },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds the encoder with the input and output of optimum's exports: <c>sample</c> [N, 3, H, W], pictures in [-1, 1], to
    /// <c>latent_parameters</c> [N, 8, H/8, W/8], means and then logarithms of variances.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from; those of the decoder may be among them.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="NotSupportedException">The configuration is of a kind that Stable Diffusion has not.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel BuildEncoder(AutoencoderKlConfig config, WeightSource weights)
    {
        var builder = new GraphBuilder("vae_encoder");
        var parameters = new Parameters(builder, weights.Without(name => IsOf(name, DecoderModules)));
        var picture = builder.Input("sample", TensorElementType.Float, ["N", config.InChannels, "H", "W"]);
        builder.Output("latent_parameters", Encode(picture, config, parameters));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>
    /// Builds the decoder with the input and output of optimum's exports: <c>latent_sample</c> [N, 4, h, w], latents divided by
    /// <see cref="AutoencoderKlConfig.ScalingFactor"/>, to <c>sample</c> [N, 3, 8 h, 8 w], pictures about in [-1, 1].
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from; those of the encoder may be among them.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="NotSupportedException">The configuration is of a kind that Stable Diffusion has not.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel BuildDecoder(AutoencoderKlConfig config, WeightSource weights)
    {
        var builder = new GraphBuilder("vae_decoder");
        var parameters = new Parameters(builder, weights.Without(name => IsOf(name, EncoderModules)));
        var latents = builder.Input("latent_sample", TensorElementType.Float, ["N", config.LatentChannels, "H", "W"]);
        builder.Output("sample", Decode(latents, config, parameters));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>Pictures [N, 3, H, W] to means and logarithms of variances of latents, [N, 2 * channels, H/8, W/8].</summary>
    internal static Value Encode(Value picture, AutoencoderKlConfig config, Parameters parameters)
    {
        config.Validate();
        return Encoder(picture, config, parameters["encoder"]).Conv2d(parameters["quant_conv"], 2 * config.LatentChannels, kernel: 1);
    }

    /// <summary>Latents [N, channels, h, w] to pictures [N, 3, 8 h, 8 w].</summary>
    internal static Value Decode(Value latents, AutoencoderKlConfig config, Parameters parameters)
    {
        config.Validate();
        return Decoder(latents.Conv2d(parameters["post_quant_conv"], config.LatentChannels, kernel: 1), config, parameters["decoder"]);
    }

    private static Value Encoder(Value map, AutoencoderKlConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        map = map.Conv2d(parameters["conv_in"], config.BlockOutChannels[0], kernel: 3, padding: 1);
        for (var block = 0; block < config.BlockOutChannels.Count; block++)
        {
            var module = parameters[$"down_blocks.{block}"];
            using var blockScope = module.Scope();
            map = Resnets(map, module, config, config.LayersPerBlock, config.BlockOutChannels[block]);
            if (block < config.BlockOutChannels.Count - 1)
                map = Halve(map, module["downsamplers.0"]);
        }
        return Last(Middle(map, config, parameters["mid_block"]), config, parameters, 2 * config.LatentChannels);
    }

    private static Value Decoder(Value map, AutoencoderKlConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        map = Middle(map.Conv2d(parameters["conv_in"], config.BlockOutChannels[^1], kernel: 3, padding: 1), config, parameters["mid_block"]);
        for (var block = config.BlockOutChannels.Count - 1; block >= 0; block--)
        {
            // Blocks of the decoder are numbered from the lowest resolution.
            var module = parameters[$"up_blocks.{config.BlockOutChannels.Count - 1 - block}"];
            using var blockScope = module.Scope();
            map = Resnets(map, module, config, config.LayersPerBlock + 1, config.BlockOutChannels[block]);
            if (block > 0)
                map = map.Upsample(module["upsamplers.0"]);
        }
        return Last(map, config, parameters, config.OutChannels);
    }

    private static Value Middle(Value map, AutoencoderKlConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var channels = config.BlockOutChannels[^1];
        map = Resnet(map, parameters["resnets.0"], config, channels);
        if (config.MidBlockAddAttention)
            map = Attention(map, parameters["attentions.0"], config);
        return Resnet(map, parameters["resnets.1"], config, channels);
    }

    private static Value Resnets(Value map, Parameters parameters, AutoencoderKlConfig config, int count, int channels)
    {
        for (var layer = 0; layer < count; layer++)
            map = Resnet(map, parameters[$"resnets.{layer}"], config, channels);
        return map;
    }

    private static Value Resnet(Value map, Parameters parameters, AutoencoderKlConfig config, int channels) =>
        map.ResnetBlock(null, parameters, channels, config.NormNumGroups, NormEpsilon);

    // One head of all channels, up to 512 wide: products in standard operators, since such a head fills a GPU's shared memory.
    private static Value Attention(Value map, Parameters parameters, AutoencoderKlConfig config)
    {
        using var scope = parameters.Scope();
        var channels = map.Shape[1].Value;
        var tokens = map.GroupNorm(parameters["group_norm"], config.NormNumGroups, NormEpsilon).ToTokens();
        var query = tokens.Dense(parameters["to_q"], channels) * (1 / Math.Sqrt(channels));
        var scores = query.MatMul(tokens.Dense(parameters["to_k"], channels).Transpose(0, 2, 1));
        var attended = scores.Softmax().MatMul(tokens.Dense(parameters["to_v"], channels));
        return map + attended.Dense(parameters["to_out.0"], channels).ToMap(sizeOf: map);
    }

    private static Value Last(Value map, AutoencoderKlConfig config, Parameters parameters, int channels) =>
        map.GroupNorm(parameters["conv_norm_out"], config.NormNumGroups, NormEpsilon, silu: true)
            .Conv2d(parameters["conv_out"], channels, kernel: 3, padding: 1);

    // Padded on the right and at the bottom only.
    private static Value Halve(Value map, Parameters parameters)
    {
        using var scope = parameters.Scope();
        return map.Pad(0, 0, 0, 0, 0, 0, 1, 1).Conv2d(parameters["conv"], map.Shape[1].Value, kernel: 3, stride: 2);
    }

    private static bool IsOf(string name, string[] modules) =>
        Array.Exists(modules, module => name.StartsWith(module, StringComparison.Ordinal));
}
