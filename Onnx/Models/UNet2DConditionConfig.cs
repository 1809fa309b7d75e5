using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The hyper-parameters of a <see cref="UNet2DCondition"/>, with the names and the meaning of diffusers' <c>unet/config.json</c>. What has
/// one number for all blocks may have a list of one; other lists have one entry a block, from the highest resolution down.
/// </summary>
public sealed record UNet2DConditionConfig
{
    /// <summary>The height and width of the latents that the model was trained on; it takes others.</summary>
    public int SampleSize { get; init; } = 64;

    /// <summary>The number of channels of the latents.</summary>
    public int InChannels { get; init; } = 4;

    /// <summary>The number of channels of the predicted noise.</summary>
    public int OutChannels { get; init; } = 4;

    /// <summary>The kinds of the blocks on the way down: <c>DownBlock2D</c> or <c>CrossAttnDownBlock2D</c>.</summary>
    public IReadOnlyList<string> DownBlockTypes { get; init; } =
        ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"];

    /// <summary>The kinds of the blocks on the way up, from the lowest resolution: <c>UpBlock2D</c> or <c>CrossAttnUpBlock2D</c>.</summary>
    public IReadOnlyList<string> UpBlockTypes { get; init; } =
        ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"];

    /// <summary>The number of channels of each block.</summary>
    public IReadOnlyList<int> BlockOutChannels { get; init; } = [320, 640, 1280, 1280];

    /// <summary>The number of residual blocks of each block on the way down; on the way up there is one more.</summary>
    [JsonConverter(typeof(OneOrMoreConverter))]
    public IReadOnlyList<int> LayersPerBlock { get; init; } = [2];

    /// <summary>The number of transformer blocks of each attention.</summary>
    [JsonConverter(typeof(OneOrMoreConverter))]
    public IReadOnlyList<int> TransformerLayersPerBlock { get; init; } = [1];

    /// <summary>The number of heads of each block's attentions, whatever the name says.</summary>
    [JsonConverter(typeof(OneOrMoreConverter))]
    public IReadOnlyList<int> AttentionHeadDim { get; init; } = [8];

    /// <summary>The number of channels of the text's states.</summary>
    public int CrossAttentionDim { get; init; } = 1280;

    /// <summary>Whether maps go to tokens and back by linear layers rather than by convolutions of one pixel.</summary>
    public bool UseLinearProjection { get; init; }

    /// <summary>The number of groups of the normalisations.</summary>
    public int NormNumGroups { get; init; } = 32;

    /// <summary>What keeps the normalisations of residual blocks from dividing by zero.</summary>
    public float NormEps { get; init; } = 1e-5f;

    /// <summary>Whether the embedding of a step has cosines first.</summary>
    public bool FlipSinToCos { get; init; } = true;

    /// <summary>What the number of frequencies is lessened by before they are spread.</summary>
    public int FreqShift { get; init; }

    /// <summary>
    /// <c>text_time</c> if the net takes a pooled text embedding and six numbers of the picture's size and crop; null if not.
    /// </summary>
    public string? AdditionEmbedType { get; init; }

    /// <summary>The number of channels that each of the six numbers is embedded in.</summary>
    public int? AdditionTimeEmbedDim { get; init; }

    /// <summary>The number of channels of the pooled text embedding and the six embedded numbers together.</summary>
    public int? ProjectionClassEmbeddingsInputDim { get; init; }

    /// <summary>What else the file says; kept for writing.</summary>
    [JsonInclude]
    [JsonExtensionData]
    internal IDictionary<string, JsonElement>? Others { get; init; }

    [JsonInclude]
    [JsonPropertyName("_class_name")]
    [JsonPropertyOrder(-1)]
    internal string ClassName => "UNet2DConditionModel";

    /// <summary>The number of blocks on the way down.</summary>
    internal int BlockCount => BlockOutChannels.Count;

    /// <summary>Whether the net takes a pooled text embedding and the picture's size and crop.</summary>
    internal bool HasTextTime => AdditionEmbedType is not null;

    /// <summary>The number of channels of the pooled text embedding.</summary>
    internal int PooledTextDim => ProjectionClassEmbeddingsInputDim!.Value - (UNet2DCondition.TimeIdCount * AdditionTimeEmbedDim!.Value);

    // What other models of the class have, and no checkpoint of Stable Diffusion, by the values that these do have.
    private static readonly Dictionary<string, string[]> Fixed = new()
    {
        ["act_fn"] = ["silu", "swish"],
        ["attention_type"] = ["default"],
        ["center_input_sample"] = ["False"],
        ["class_embed_type"] = [""],
        ["conv_in_kernel"] = ["3"],
        ["conv_out_kernel"] = ["3"],
        ["cross_attention_norm"] = [""],
        ["downsample_padding"] = ["1"],
        ["dual_cross_attention"] = ["False"],
        ["encoder_hid_dim"] = [""],
        ["mid_block_scale_factor"] = ["1", "1.0"],
        ["mid_block_type"] = ["UNetMidBlock2DCrossAttn"],
        ["num_attention_heads"] = [""],
        ["num_class_embeds"] = [""],
        ["only_cross_attention"] = ["False"],
        ["resnet_out_scale_factor"] = ["1", "1.0"],
        ["resnet_skip_time_act"] = ["False"],
        ["resnet_time_scale_shift"] = ["default"],
        ["reverse_transformer_layers_per_block"] = [""],
        ["time_cond_proj_dim"] = [""],
        ["time_embedding_act_fn"] = [""],
        ["time_embedding_dim"] = [""],
        ["time_embedding_type"] = ["positional"],
        ["timestep_post_act"] = [""],
    };

    /// <summary>Reads a <c>config.json</c>.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration.</exception>
    public static UNet2DConditionConfig Read(string path) => ConfigFile.Read<UNet2DConditionConfig>(path);

    internal int LayersOf(int block) => OfBlock(LayersPerBlock, block);

    internal int TransformerLayersOf(int block) => OfBlock(TransformerLayersPerBlock, block);

    internal int HeadsOf(int block) => OfBlock(AttentionHeadDim, block);

    internal void Validate()
    {
        ConfigFile.ThrowIfOther(nameof(UNet2DConditionConfig), Others, Fixed);
        Check(BlockCount > 0, nameof(BlockOutChannels), "is empty");
        Check(DownBlockTypes.Count == BlockCount, nameof(DownBlockTypes), $"has {DownBlockTypes.Count} entries for {BlockCount} blocks");
        Check(UpBlockTypes.Count == BlockCount, nameof(UpBlockTypes), $"has {UpBlockTypes.Count} entries for {BlockCount} blocks");
        foreach (var type in DownBlockTypes)
            Check(type is UNet2DCondition.PlainDown or UNet2DCondition.AttentionDown, nameof(DownBlockTypes), $"has '{type}', which is not supported");
        foreach (var type in UpBlockTypes)
            Check(type is UNet2DCondition.PlainUp or UNet2DCondition.AttentionUp, nameof(UpBlockTypes), $"has '{type}', which is not supported");
        foreach (var (name, list) in new[]
        {
            (nameof(LayersPerBlock), LayersPerBlock), (nameof(TransformerLayersPerBlock), TransformerLayersPerBlock),
            (nameof(AttentionHeadDim), AttentionHeadDim),
        })
        {
            Check(list.Count == 1 || list.Count == BlockCount, name, $"has {list.Count} entries for {BlockCount} blocks");
            Check(list.All(number => number > 0), name, $"has {list.Min()}; it must be positive");
        }
        for (var block = 0; block < BlockCount; block++)
        {
            var channels = BlockOutChannels[block];
            Check(channels > 0 && channels % NormNumGroups == 0, nameof(BlockOutChannels),
                $"has {channels}, which does not divide into {NormNumGroups} groups");
            Check(channels % HeadsOf(block) == 0, nameof(BlockOutChannels), $"has {channels}, which does not divide into {HeadsOf(block)} heads");
        }
        Check(AdditionEmbedType is null or "text_time", nameof(AdditionEmbedType), $"is '{AdditionEmbedType}'; known is 'text_time'");
        Check(!HasTextTime || (AdditionTimeEmbedDim > 0 && ProjectionClassEmbeddingsInputDim > UNet2DCondition.TimeIdCount * AdditionTimeEmbedDim),
            nameof(ProjectionClassEmbeddingsInputDim), $"is {ProjectionClassEmbeddingsInputDim} with {nameof(AdditionTimeEmbedDim)} "
            + $"{AdditionTimeEmbedDim}; it must have room for six times that and the text");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"UNet2DConditionConfig.{property} {reason}.");
        }
    }

    private static int OfBlock(IReadOnlyList<int> list, int block) => list[list.Count == 1 ? 0 : block];
}
