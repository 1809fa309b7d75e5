using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="PhotoMaker"/>.</summary>
public sealed record PhotoMakerConfig
{
    /// <summary>The height and width of photos in pixels.</summary>
    public int ImageSize { get; init; } = 224;

    /// <summary>The height and width of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 14;

    /// <summary>The number of channels of a patch's states.</summary>
    public int HiddenSize { get; init; } = 1024;

    /// <summary>The number of channels within a feed-forward layer.</summary>
    public int IntermediateSize { get; init; } = 4096;

    /// <summary>The number of layers.</summary>
    public int NumHiddenLayers { get; init; } = 24;

    /// <summary>The number of heads of each attention.</summary>
    public int NumAttentionHeads { get; init; } = 16;

    /// <summary>The number of channels of the first text encoder's states.</summary>
    public int ProjectionDim { get; init; } = 768;

    /// <summary>The number of channels of the second text encoder's states.</summary>
    public int SecondProjectionDim { get; init; } = 1280;

    /// <summary>The number of channels of both text encoders' states together.</summary>
    public int PromptDim => ProjectionDim + SecondProjectionDim;

    internal void Validate()
    {
        Check(PatchSize > 0 && ImageSize >= PatchSize && ImageSize % PatchSize == 0, nameof(ImageSize),
            $"is {ImageSize}, which does not divide into patches of {PatchSize}");
        Check(NumAttentionHeads > 0 && HiddenSize % NumAttentionHeads == 0, nameof(HiddenSize),
            $"is {HiddenSize}, which does not divide into {NumAttentionHeads} heads");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"{nameof(PhotoMakerConfig)}.{property} {reason}.");
        }
    }
}

/// <summary>
/// PhotoMaker's encoder of identities: CLIP's encoder of pictures makes an embedding of each reference photo, which is fused with the
/// text's states of the class word (as in "a man img", repeated once for each photo) that describes the person. It belongs to SDXL, whose
/// UNet PhotoMaker fine-tunes. Parameters have the names of the entry <c>id_encoder</c> of the published checkpoint.
/// <para>Source: Li et al., "PhotoMaker: Customizing Realistic Human Photos via Stacked ID Embedding", CVPR 2024 (arXiv 2312.04461),
/// repository TencentARC/PhotoMaker, version 1.</para>
/// </summary>
public static class PhotoMaker
{
    private const float Epsilon = 1e-5f;

    /// <summary>The published model, <c>photomaker_v1</c>.</summary>
    public static IReadOnlyDictionary<string, PhotoMakerConfig> Variants { get; } = new Dictionary<string, PhotoMakerConfig>
    {
        ["photomaker_v1"] = new(),
    }.ToFrozenDictionary();

    /// <summary>Subtracted from red, green and blue of photos, which are in [0, 1].</summary>
    public static IReadOnlyList<float> Mean { get; } = [0.48145466f, 0.4578275f, 0.40821073f];

    /// <summary>What red, green and blue are divided by after that.</summary>
    public static IReadOnlyList<float> StandardDeviation { get; } = [0.26862954f, 0.26130258f, 0.27577711f];

    /// <summary>
    /// Builds the model, for <c>id_encoder/model.onnx</c> of a <see cref="DiffusionFolder"/>, with the inputs of the published module.
    /// Inputs: <c>id_pixel_values</c> [N, K, 3, 224, 224], K photos of the person, normalised (<see cref="Mean"/>,
    /// <see cref="StandardDeviation"/>); <c>prompt_embeds</c> [N, T, 2048], the states of both text encoders for the prompt in which the
    /// class word is repeated for each photo; <c>class_tokens_mask</c> bool [N, T], true at these K tokens. Output:
    /// <c>updated_prompt_embeds</c> [N, T, 2048], the states with those of the K tokens replaced.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(PhotoMakerConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("id_encoder");
        var parameters = new Parameters(builder, weights);
        parameters.Ignore("vision_model.embeddings.position_ids");
        var photos = builder.Input("id_pixel_values", TensorElementType.Float, ["N", "K", 3, config.ImageSize, config.ImageSize]);
        var prompt = builder.Input("prompt_embeds", TensorElementType.Float, ["N", "T", config.PromptDim]);
        var mask = builder.Input("class_tokens_mask", TensorElementType.Bool, ["N", "T"]);

        var pooled = VisionModel(photos.Reshape(-1, 3, config.ImageSize, config.ImageSize), config, parameters["vision_model"]);
        var identity = builder.Concat(1,
            pooled.Dense(parameters["visual_projection"], config.ProjectionDim, bias: false),
            pooled.Dense(parameters["visual_projection_2"], config.SecondProjectionDim, bias: false));
        var identities = identity.Reshape(builder.Concat(0, photos.ShapeOf(0, 2), builder.Int64(config.PromptDim)));
        var fused = Fuse(prompt, OfTokens(identities, mask), parameters["fuse_module"]);
        builder.Output("updated_prompt_embeds", mask.Unsqueeze(2).Where(fused, prompt));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>Fuses states of a text with identities, both [N, T, width], to the same.</summary>
    internal static Value Fuse(Value prompt, Value identities, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var stacked = Mlp(prompt.Builder.Concat(2, prompt, identities), parameters["mlp1"], prompt.Shape[2].Value) + prompt;
        return (Mlp(stacked, parameters["mlp2"], prompt.Shape[2].Value) + stacked).LayerNorm(parameters["layer_norm"], Epsilon);
    }

    private static Value Mlp(Value value, Parameters parameters, long width)
    {
        using var scope = parameters.Scope();
        return value.LayerNorm(parameters["layernorm"], Epsilon).Dense(parameters["fc1"], width).Gelu().Dense(parameters["fc2"], width);
    }

    // Of each token the identity whose turn it is, [N, K, width] to [N, T, width]: the first marked token has the first one.
    private static Value OfTokens(Value identities, Value mask)
    {
        var builder = mask.Builder;
        var marked = builder.Op("CumSum", [mask.Cast(TensorElementType.Int64), builder.Constant(Tensor.Scalar(1L))]);
        var turns = builder.Op("Max", [marked - 1, builder.Constant(Tensor.Scalar(0L))]);
        return builder.Op("GatherND", [identities, turns.Unsqueeze(2)], new() { ["batch_dims"] = 1 });
    }

    // The normalised state of the class token, [N, width].
    private static Value VisionModel(Value pictures, PhotoMakerConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        // The name is that of the published checkpoint.
        var tokens = Embedding(pictures, config, parameters["embeddings"]).LayerNorm(parameters["pre_layrnorm"], Epsilon);
        var layers = new ClipLayers(config.NumAttentionHeads, config.IntermediateSize, ClipLayers.QuickGelu, Epsilon);
        for (var layer = 0; layer < config.NumHiddenLayers; layer++)
            tokens = layers.Apply(tokens, parameters[$"encoder.layers.{layer}"]);
        return tokens.Slice(1, 0, 1).Reshape(-1, config.HiddenSize).LayerNorm(parameters["post_layernorm"], Epsilon);
    }

    // The class token and the patches, with their positions.
    private static Value Embedding(Value pictures, PhotoMakerConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (builder, width) = (pictures.Builder, config.HiddenSize);
        var normal = Initialization.TruncatedNormal(0.02, double.PositiveInfinity);
        var side = config.ImageSize / config.PatchSize;
        var patches = pictures.Conv2d(parameters["patch_embedding"], width, config.PatchSize, stride: config.PatchSize, bias: false).ToTokens();
        var first = parameters.Get("class_embedding", normal, width).Reshape(1, 1, width)
            .Expand(builder.Concat(0, pictures.ShapeOf(0, 1), builder.Int64(1, width)));
        var positions = parameters["position_embedding"].Get("weight", normal, (side * side) + 1, width);
        return builder.Concat(1, first, patches) + positions;
    }
}
