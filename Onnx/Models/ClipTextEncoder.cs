using System.Collections.Frozen;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The hyper-parameters of a <see cref="ClipTextEncoder"/>, with the names and the meaning of transformers'
/// <c>text_encoder/config.json</c>.
/// </summary>
public sealed record ClipTextConfig
{
    /// <summary>The number of tokens that there are.</summary>
    public int VocabSize { get; init; } = 49408;

    /// <summary>The number of channels of a token's states.</summary>
    public int HiddenSize { get; init; } = 512;

    /// <summary>The number of channels within a feed-forward layer.</summary>
    public int IntermediateSize { get; init; } = 2048;

    /// <summary>The number of channels of the projected embedding of a text.</summary>
    public int ProjectionDim { get; init; } = 512;

    /// <summary>The number of layers.</summary>
    public int NumHiddenLayers { get; init; } = 12;

    /// <summary>The number of heads of each attention.</summary>
    public int NumAttentionHeads { get; init; } = 8;

    /// <summary>The number of tokens of a text, padding included.</summary>
    public int MaxPositionEmbeddings { get; init; } = 77;

    /// <summary>The activation: <c>quick_gelu</c> or <c>gelu</c>.</summary>
    public string HiddenAct { get; init; } = ClipLayers.QuickGelu;

    /// <summary>What keeps layer normalisations from dividing by zero.</summary>
    public float LayerNormEps { get; init; } = 1e-5f;

    /// <summary>
    /// The token that ends a text, whose state is the text's. 2, which older configurations have by mistake, stands for the token of the
    /// greatest number.
    /// </summary>
    public int EosTokenId { get; init; } = 49407;

    /// <summary>The classes that the weights are of: whether there is a projection.</summary>
    public IReadOnlyList<string> Architectures { get; init; } = ["CLIPTextModel"];

    /// <summary>Whether the text's embedding is projected.</summary>
    [JsonIgnore]
    public bool HasProjection => Architectures.Contains(ClipTextEncoder.ProjectionArchitecture);

    /// <summary>What else the file says; kept for writing.</summary>
    [JsonInclude]
    [JsonExtensionData]
    internal IDictionary<string, JsonElement>? Others { get; init; }

    [JsonInclude]
    internal string ModelType => "clip_text_model";

    /// <summary>Reads a <c>config.json</c>.</summary>
    /// <exception cref="InvalidDataException">The file is no such configuration.</exception>
    public static ClipTextConfig Read(string path) => ConfigFile.Read<ClipTextConfig>(path);

    internal void Validate()
    {
        Check(HiddenAct is ClipLayers.QuickGelu or ClipLayers.Gelu, nameof(HiddenAct),
            $"is '{HiddenAct}'; known are '{ClipLayers.QuickGelu}' and '{ClipLayers.Gelu}'");
        Check(HiddenSize > 0 && HiddenSize % NumAttentionHeads == 0, nameof(HiddenSize),
            $"is {HiddenSize}, which does not divide into {NumAttentionHeads} heads");
        foreach (var (name, number) in new[]
        {
            (nameof(VocabSize), VocabSize), (nameof(IntermediateSize), IntermediateSize), (nameof(NumHiddenLayers), NumHiddenLayers),
            (nameof(MaxPositionEmbeddings), MaxPositionEmbeddings), (nameof(ProjectionDim), ProjectionDim),
        })
            Check(number > 0, name, $"is {number}; it must be positive");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"{nameof(ClipTextConfig)}.{property} {reason}.");
        }
    }
}

/// <summary>What a <see cref="ClipTextEncoder"/> makes of texts, as values of a graph.</summary>
/// <param name="LastHiddenState">The states of the last layer, normalised, [N, T, width].</param>
/// <param name="Pooled">The state of the first token that ends the text, projected where there is a projection, [N, width].</param>
/// <param name="HiddenStates">The embeddings and the states of each layer, not normalised, [N, T, width] each.</param>
internal sealed record ClipTextStates(Value LastHiddenState, Value Pooled, IReadOnlyList<Value> HiddenStates);

/// <summary>
/// CLIP's text encoder, a transformer in which tokens see those before them. Parameters have the names of transformers' checkpoints,
/// which load as they are; nodes are named after the modules.
/// <para>Sources: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021 (arXiv 2103.00020);
/// <c>CLIPTextModel</c> and <c>CLIPTextModelWithProjection</c> of repository huggingface/transformers 4.36.</para>
/// </summary>
public static class ClipTextEncoder
{
    internal const string ProjectionArchitecture = "CLIPTextModelWithProjection";

    private const int UnknownEndToken = 2;
    private const float Masked = -30000;

    /// <summary>
    /// The published models: <c>clip_l</c>, of Stable Diffusion 1.x and the first of SDXL's, <c>open_clip_big_g</c>, the second of SDXL's;
    /// and <c>clip_nano</c>, a small one of ours with a vocabulary of its own.
    /// </summary>
    public static IReadOnlyDictionary<string, ClipTextConfig> Variants { get; } = new Dictionary<string, ClipTextConfig>
    {
        ["clip_l"] = new() { HiddenSize = 768, IntermediateSize = 3072, ProjectionDim = 768, NumAttentionHeads = 12 },
        ["open_clip_big_g"] = new()
        {
            HiddenSize = 1280, IntermediateSize = 5120, ProjectionDim = 1280, NumHiddenLayers = 32, NumAttentionHeads = 20, HiddenAct = ClipLayers.Gelu,
            Architectures = [ProjectionArchitecture],
        },
        ["clip_nano"] = new()
        {
            VocabSize = 800, HiddenSize = 128, IntermediateSize = 512, ProjectionDim = 128, NumHiddenLayers = 4, NumAttentionHeads = 4,
            EosTokenId = 799,
        },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds the model with the input and outputs of optimum's exports: <c>input_ids</c> int32 [N, T], T the number of tokens that the
    /// model was trained with; <c>last_hidden_state</c> [N, T, width]; <c>pooler_output</c> [N, width] or, with a projection,
    /// <c>text_embeds</c> [N, projection width]; <c>hidden_states.0</c>, the embeddings, to <c>hidden_states.L</c>, the states after each
    /// of the L layers, [N, T, width].
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(ClipTextConfig config, WeightSource weights)
    {
        var builder = new GraphBuilder("text_encoder");
        var parameters = new Parameters(builder, weights);
        parameters.Ignore("text_model.embeddings.position_ids");
        var ids = builder.Input("input_ids", TensorElementType.Int32, ["N", config.MaxPositionEmbeddings]);
        var states = Net(ids, config, parameters);
        builder.Output("last_hidden_state", states.LastHiddenState);
        builder.Output(config.HasProjection ? "text_embeds" : "pooler_output", states.Pooled);
        foreach (var (i, state) in states.HiddenStates.Index())
            builder.Output($"hidden_states.{i}", state);
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>The model as a function of tokens, int32 or int64 [N, T], of which there may be fewer than the model has positions for.</summary>
    internal static ClipTextStates Net(Value ids, ClipTextConfig config, Parameters parameters)
    {
        config.Validate();
        var encoder = parameters["text_model"];
        var length = ids.Shape[1].Value;
        var mask = CausalMask(ids.Builder, (int)length);
        var states = new List<Value> { Embedding(ids, config, encoder["embeddings"]) };
        var layers = new ClipLayers(config.NumAttentionHeads, config.IntermediateSize, config.HiddenAct, config.LayerNormEps);
        for (var layer = 0; layer < config.NumHiddenLayers; layer++)
            states.Add(layers.Apply(states[^1], encoder[$"encoder.layers.{layer}"], mask));
        var last = states[^1].LayerNorm(encoder["final_layer_norm"], config.LayerNormEps);
        var pooled = StateAt(last, EndOf(ids, config));
        if (config.HasProjection)
            pooled = pooled.Dense(parameters["text_projection"], config.ProjectionDim, bias: false);
        return new(last, pooled, states);
    }

    private static Value Embedding(Value ids, ClipTextConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var normal = Initialization.TruncatedNormal(0.02, double.PositiveInfinity);
        var tokens = parameters["token_embedding"].Get("weight", normal, config.VocabSize, config.HiddenSize).Gather(ids);
        var positions = parameters["position_embedding"].Get("weight", normal, config.MaxPositionEmbeddings, config.HiddenSize);
        var length = ids.Shape[1].Value;
        return tokens + (length == config.MaxPositionEmbeddings ? positions : positions.Slice(0, 0, length));
    }

    // The position of the first token that ends a text, int64 [N].
    private static Value EndOf(Value ids, ClipTextConfig config)
    {
        var builder = ids.Builder;
        var isEnd = config.EosTokenId == UnknownEndToken
            ? ids
            : builder.Op("Equal", [ids, builder.Scalar(config.EosTokenId, ids)]).Cast(TensorElementType.Int32);
        return builder.Op("ArgMax", [isEnd], new() { ["axis"] = 1, ["keepdims"] = 0 });
    }

    // Of states [N, T, width] those at a position each, [N, width].
    private static Value StateAt(Value states, Value positions) =>
        states.Builder.Op("GatherND", [states, positions.Unsqueeze(1)], new() { ["batch_dims"] = 1 });

    // 0 where a token sees another, [1, 1, T, T].
    private static Value CausalMask(GraphBuilder builder, int length)
    {
        var mask = new float[length * length];
        for (var i = 0; i < length; i++)
            mask.AsSpan((i * length) + i + 1, length - i - 1).Fill(Masked);
        return builder.Constant(Tensor.Create<float>(mask, 1, 1, length, length));
    }
}
