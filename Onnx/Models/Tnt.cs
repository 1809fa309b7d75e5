using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="Tnt"/>.</summary>
public sealed record TntConfig : ImageClassifierConfig
{
    /// <summary>The side of a patch, the outer token, in pixels.</summary>
    public int PatchSize { get; init; } = 16;

    /// <summary>Pixels from one word of a patch, the inner token, to the next.</summary>
    public int InnerStride { get; init; } = 4;

    /// <summary>
    /// The rows and columns of patches that have learned positions: those of the images that the model is trained on. For images of
    /// other sizes the positions are interpolated.
    /// </summary>
    public (int Rows, int Columns) PatchGrid { get; init; } = (14, 14);

    /// <summary>The number of blocks.</summary>
    public int Depth { get; init; } = 12;

    /// <summary>The number of channels of a patch.</summary>
    public required int OuterWidth { get; init; }

    /// <summary>The number of channels of a word.</summary>
    public required int InnerWidth { get; init; }

    /// <summary>The number of heads of the attention between patches.</summary>
    public required int OuterHeadCount { get; init; }

    /// <summary>The number of heads of the attention between the words of a patch.</summary>
    public int InnerHeadCount { get; init; } = 4;

    /// <summary>The width of the hidden layer of the MLPs, as a multiple of the tokens'.</summary>
    public double MlpRatio { get; init; } = 4;

    /// <summary>Whether queries, keys and values have a bias.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>Whether the outer MLPs are gated by the mean over the tokens (squeeze and excitation); no published model is.</summary>
    public bool SqueezeExcitation { get; init; }

    /// <summary>The standard deviation of the weights of linear layers before training; published is 0.02.</summary>
    public double LinearDeviation { get; init; } = 0.02;

    /// <inheritdoc/>
    public override int LayerCount => Depth + 2;

    internal int WordCount => (int)Math.Pow((PatchSize + InnerStride - 1) / InnerStride, 2);

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        Tnt.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("head.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        return path[0] switch
        {
            "blocks" => int.Parse(path[1], CultureInfo.InvariantCulture) + 1,
            "norm" or "head" => LayerCount - 1,
            _ => 0,
        };
    }

    /// <inheritdoc/>
    public override bool Decays(string parameter, int rank) => rank >= 2 && parameter is not ("inner_pos" or "outer_pos" or "cls_token");

    internal float DropPathProbability(int block) => DropPathRate * block / Math.Max(1, Depth - 1);

    internal void Validate()
    {
        Check(PatchSize > 0, nameof(PatchSize), $"is {PatchSize}; it must be positive");
        Check(InnerStride > 0, nameof(InnerStride), $"is {InnerStride}; it must be positive");
        Check(PatchGrid is { Rows: > 0, Columns: > 0 }, nameof(PatchGrid), $"is {PatchGrid}; it must be positive");
        Check(Depth > 0, nameof(Depth), $"is {Depth}; it must be positive");
        Check(OuterWidth % OuterHeadCount == 0, nameof(OuterWidth), $"is {OuterWidth}, not a multiple of OuterHeadCount {OuterHeadCount}");
        Check(InnerWidth % InnerHeadCount == 0, nameof(InnerWidth), $"is {InnerWidth}, not a multiple of InnerHeadCount {InnerHeadCount}");
        Check(DropPathRate is >= 0 and < 1, nameof(DropPathRate), $"is {DropPathRate}; it must be at least 0 and below 1");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"TntConfig.{property} {reason}.");
        }
    }
}

/// <summary>
/// TNT, Transformer in Transformer: in every block a small transformer relates the words within each patch, then a large one the patches.
/// Parameters have the names of the official checkpoints, which load as they are.
/// <para>Source: Han et al., "Transformer in Transformer", NeurIPS 2021 (arXiv 2103.00112), repository
/// huawei-noah/Efficient-AI-Backbones, folder tnt_pytorch.</para>
/// </summary>
public static class Tnt
{
    internal const float LayerNormEpsilon = 1e-5f;

    private const int WordKernel = 7;

    /// <summary>
    /// The published models by their name in timm's registry (<c>tnt_ti_patch16_224</c> is in the paper only), and <c>tnt_nano</c>, a
    /// small one of ours for images of about 28 x 28.
    /// </summary>
    public static IReadOnlyDictionary<string, TntConfig> Variants { get; } = new Dictionary<string, TntConfig>
    {
        ["tnt_ti_patch16_224"] = new()
        {
            OuterWidth = 192, InnerWidth = 12, OuterHeadCount = 3, InnerHeadCount = 2, Input = Published(224),
        },
        ["tnt_s_patch16_224"] = new() { OuterWidth = 384, InnerWidth = 24, OuterHeadCount = 6, Input = Published(224) },
        ["tnt_b_patch16_224"] = new() { OuterWidth = 640, InnerWidth = 40, OuterHeadCount = 10, Input = Published(224) },
        ["tnt_nano"] = new()
        {
            PatchSize = 4, InnerStride = 2, PatchGrid = (7, 7), Depth = 7,
            OuterWidth = 96, InnerWidth = 24, OuterHeadCount = 3, InnerHeadCount = 3, LinearDeviation = 0.1, Input = Published(28),
        },
    }.ToFrozenDictionary();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images in pixels, a multiple of the patch size; that of the trained images if null.</param>
    /// <param name="width">The width of the images in pixels, a multiple of the patch size; that of the trained images if null.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(TntConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        config.Validate();
        var grid = (Rows: Patches(height, config.PatchGrid.Rows), Columns: Patches(width, config.PatchGrid.Columns));
        var builder = new GraphBuilder("tnt");
        var image = builder.Input("x", TensorElementType.Float,
            ["N", config.InputChannels, grid.Rows * config.PatchSize, grid.Columns * config.PatchSize]);
        var parameters = new Parameters(builder, weights) { LinearInitialization = Initialization.TruncatedNormal(config.LinearDeviation) };
        parameters.Ignore("outer_tokens");

        var position = parameters.Get("inner_pos", Initialization.TruncatedNormal(), 1, config.WordCount, config.InnerWidth);
        var words = PatchEmbed(image, config, parameters["patch_embed"], position);
        var outer = OuterEmbedding(words, config, grid, parameters);
        var inner = words.Reshape(-1, config.WordCount, config.InnerWidth);
        for (var block = 0; block < config.Depth; block++)
            (inner, outer) = Block(inner, outer, config, block, parameters[$"blocks.{block}"]);
        var feature = outer.Slice(1, 0, 1).Reshape(0, config.OuterWidth).LayerNorm(parameters["norm"], LayerNormEpsilon);
        builder.Output("logits", feature.Linear(parameters["head"], config.ClassCount));
        parameters.ThrowIfUnfit();
        return builder.ToModel();

        int Patches(int? size, int trained)
        {
            if (size is null)
                return trained;
            return size > 0 && size % config.PatchSize == 0 ? size.Value / config.PatchSize : throw new ArgumentException(
                $"An image of {height} x {width} does not divide into patches of {config.PatchSize} x {config.PatchSize}; take another.");
        }
    }

    /// <summary>The words of each patch, which a convolution within the patch makes: [N, C, H, W] to [N, patches, words * width].</summary>
    internal static Value PatchEmbed(Value image, TntConfig config, Parameters parameters, Value? position = null)
    {
        using var scope = parameters.Scope();
        var size = config.PatchSize;
        var (rows, columns) = (image.Shape[2].Value / size, image.Shape[3].Value / size);
        var patches = image.Reshape(0, config.InputChannels, rows, size, columns, size)
            .Transpose(0, 2, 4, 1, 3, 5).Reshape(0, rows * columns, config.InputChannels * size * size);
        var convolution = new PatchConvolution
        {
            Size = size, InputChannels = config.InputChannels, OutputChannels = config.InnerWidth,
            Kernel = WordKernel, Stride = config.InnerStride, Padding = WordKernel / 2,
        };
        return convolution.Apply(patches, parameters["proj"], position);
    }

    /// <summary>Words within patches, words into patches, patches. The class token, at 0, gets nothing of the words.</summary>
    internal static (Value Inner, Value Outer) Block(Value inner, Value outer, TntConfig config, int block, Parameters parameters)
    {
        using var scope = parameters.Scope();
        inner = Residual(inner, "inner_norm1", words =>
            Attention(words, config.InnerHeadCount, config.QueryKeyValueBias, parameters["inner_attn"]));
        inner = Residual(inner, "inner_norm2", words => words.Mlp(parameters["inner_mlp"], config.MlpRatio));
        var patchCount = outer.Shape[1].Value - 1;
        outer += Fold(inner.Reshape(-1, patchCount, WidthOf(inner)), config.OuterWidth, parameters, bias: false).Pad(0, 1, 0, 0, 0, 0);
        outer = Residual(outer, "outer_norm1", patches =>
            Attention(patches, config.OuterHeadCount, config.QueryKeyValueBias, parameters["outer_attn"]));
        outer = Residual(outer, "outer_norm2", OuterMlp);
        return (inner, outer);

        Value Residual(Value tokens, string norm, Func<Value, Value> branch) =>
            tokens + DropPath.Apply(branch(tokens.LayerNorm(parameters[norm], LayerNormEpsilon)), config.DropPathProbability(block));

        Value OuterMlp(Value patches)
        {
            var output = patches.Mlp(parameters["outer_mlp"], config.MlpRatio);
            return config.SqueezeExcitation ? output + (output * Gate(output, parameters["se_layer.fc"])) : output;
        }
    }

    /// <summary>Attention of tokens [N, L, C] to each other; <c>qk</c> and <c>v</c> are one product.</summary>
    internal static Value Attention(Value tokens, int headCount, bool bias, Parameters parameters, int? queryKeyWidth = null)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[2].Value;
        var projected = tokens.JoinedLinear(bias, (parameters["qk"], 2 * (queryKeyWidth ?? width)), (parameters["v"], width));
        return Attend(projected).Linear(parameters["proj"], width);

        Value Attend(Value packed)
        {
            if (queryKeyWidth is not { } narrow || narrow == width)
                return MultiHeadSelfAttention.Apply(packed, headCount);
            var parts = packed.Split(2, narrow, narrow, width);
            return MultiHeadAttention.Apply(parts[0], parts[1], parts[2], headCount);
        }
    }

    /// <summary>The words of a patch, flat, as an addition to the patch: <c>proj_norm1</c>, <c>proj</c>, <c>proj_norm2</c>.</summary>
    internal static Value Fold(Value words, int width, Parameters parameters, bool bias) =>
        words.LayerNorm(parameters["proj_norm1"], LayerNormEpsilon).Linear(parameters["proj"], width, bias)
            .LayerNorm(parameters["proj_norm2"], LayerNormEpsilon);

    /// <summary>The channels of all words of a patch.</summary>
    internal static long WidthOf(Value inner) => inner.Shape[1].Value * inner.Shape[2].Value;

    /// <summary><c>fc1</c>, GELU, <c>fc2</c>.</summary>
    internal static Value Mlp(this Value tokens, Parameters parameters, double ratio)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[-1].Value;
        return tokens.Linear(parameters["fc1"], (long)(width * ratio)).Gelu().Linear(parameters["fc2"], width);
    }

    /// <summary>The published preprocessing.</summary>
    internal static PublishedInput Published(int size) => new()
    {
        Size = size, CropFraction = 0.9, Mean = (0.5f, 0.5f, 0.5f), StandardDeviation = (0.5f, 0.5f, 0.5f),
    };

    // The class token and the patches, with their positions: [N, 1 + patches, width].
    private static Value OuterEmbedding(Value words, TntConfig config, (int Rows, int Columns) grid, Parameters parameters)
    {
        var patchCount = grid.Rows * grid.Columns;
        var patches = Fold(words, config.OuterWidth, parameters, bias: true);
        var classToken = parameters.Get("cls_token", Initialization.TruncatedNormal(), 1, 1, config.OuterWidth);
        var position = Position(config, grid, parameters);
        return patches.Pad(0, 1, 0, 0, 0, 0) + (position + classToken.Pad(0, 0, 0, 0, patchCount, 0));
    }

    // [1, 1 + patches, width]; that of the class token, the first, is the same at all sizes.
    private static Value Position(TntConfig config, (int Rows, int Columns) grid, Parameters parameters)
    {
        var (rows, columns) = config.PatchGrid;
        var position = parameters.Get("outer_pos", Initialization.TruncatedNormal(), 1, (rows * columns) + 1, config.OuterWidth);
        if (grid == (rows, columns))
            return position;
        var builder = position.Builder;
        var map = position.Slice(1, 1, (rows * columns) + 1).Reshape(1, rows, columns, config.OuterWidth).ToChannelsFirst();
        var resized = builder.Op("Resize", [map, null, null, builder.Int64(1, config.OuterWidth, grid.Rows, grid.Columns)], new()
        {
            ["mode"] = "cubic", ["coordinate_transformation_mode"] = "half_pixel", ["cubic_coeff_a"] = -0.75f,
        });
        var patches = resized.ToChannelsLast().Reshape(1, grid.Rows * grid.Columns, config.OuterWidth);
        return builder.Concat(1, position.Slice(1, 0, 1), patches);
    }

    private static Value Gate(Value tokens, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[2].Value;
        return tokens.ReduceMean([1], keepDims: true).LayerNorm(parameters["0"], LayerNormEpsilon)
            .Linear(parameters["1"], width / 4).Apply("Relu").Linear(parameters["3"], width).Apply("Tanh");
    }
}
