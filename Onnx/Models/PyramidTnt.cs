using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="PyramidTnt"/>. Lists have one entry a stage.</summary>
public sealed record PyramidTntConfig : ImageClassifierConfig
{
    /// <summary>
    /// The height and width of the images in pixels, multiples of the patches of the last stage (64 as published). Each pair of positions
    /// has a learned term, so a trained model runs with these alone.
    /// </summary>
    public (int Height, int Width) ImageSize { get; init; } = (256, 256);

    /// <summary>The side of a patch of the first stage in pixels; it doubles from stage to stage.</summary>
    public int PatchSize { get; init; } = 8;

    /// <summary>The words along each side of a patch; even, and a divisor of <see cref="PatchSize"/>.</summary>
    public int WordsPerSide { get; init; } = 4;

    /// <summary>The number of blocks.</summary>
    public required IReadOnlyList<int> Depths { get; init; }

    /// <summary>The number of channels of a patch.</summary>
    public required IReadOnlyList<int> OuterWidths { get; init; }

    /// <summary>The number of channels of a word.</summary>
    public required IReadOnlyList<int> InnerWidths { get; init; }

    /// <summary>The number of heads of the attention between patches.</summary>
    public required IReadOnlyList<int> OuterHeadCounts { get; init; }

    /// <summary>The number of heads of the attention between the words of a patch.</summary>
    public required IReadOnlyList<int> InnerHeadCounts { get; init; }

    /// <summary>The side of the squares of patches that are averaged for keys and values.</summary>
    public IReadOnlyList<int> KeyValueStrides { get; init; } = [4, 2, 1, 1];

    /// <summary>The width of the hidden layer of the MLPs, as a multiple of the tokens'.</summary>
    public double MlpRatio { get; init; } = 4;

    /// <summary>The standard deviation of the weights of linear layers before training; published is 0.02.</summary>
    public double LinearDeviation { get; init; } = 0.02;

    /// <inheritdoc/>
    public override int LayerCount => Depths.Sum() + 2;

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        PyramidTnt.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("head.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        return path[0] switch
        {
            "stages" => Before(Index(1)) + 1 + (path[2] == "blocks" ? Index(3) : 0),
            "word_merges" or "sentence_merges" => Before(Index(1) + 1),
            "norm" or "head" => LayerCount - 1,
            _ => 0,
        };

        int Index(int segment) => int.Parse(path[segment], CultureInfo.InvariantCulture);
    }

    /// <inheritdoc/>
    public override bool Decays(string parameter, int rank) => rank >= 2 && parameter is not ("inner_pos" or "outer_pos");

    internal int StageCount => Depths.Count;

    internal int WordCount => WordsPerSide * WordsPerSide;

    internal float DropPathProbability(int stage, int block) => DropPathRate * (Before(stage) + block) / Math.Max(1, Depths.Sum() - 1);

    /// <summary>Whether a block has a transformer of the words: the first of a stage, and the second of a deep one.</summary>
    internal bool HasInner(int stage, int block) => block == 0 || (block == 1 && Depths[stage] > 6);

    internal (int Rows, int Columns) Grid(int stage) => (ImageSize.Height / PatchSize >> stage, ImageSize.Width / PatchSize >> stage);

    internal void Validate()
    {
        Check(Depths.Count > 0, nameof(Depths), "is empty; it must have a stage");
        Check(WordsPerSide > 0 && WordsPerSide % 2 == 0, nameof(WordsPerSide), $"is {WordsPerSide}; it must be positive and even");
        Check(PatchSize > 0 && PatchSize % WordsPerSide == 0, nameof(PatchSize),
            $"is {PatchSize}, not a multiple of WordsPerSide {WordsPerSide}");
        foreach (var (name, list) in new[]
        {
            (nameof(OuterWidths), OuterWidths), (nameof(InnerWidths), InnerWidths),
            (nameof(OuterHeadCounts), OuterHeadCounts), (nameof(InnerHeadCounts), InnerHeadCounts),
            (nameof(KeyValueStrides), KeyValueStrides),
        })
        {
            Check(list.Count == StageCount, name, $"has {list.Count} entries for {StageCount} stages");
        }
        var unit = PatchSize << (StageCount - 1);
        Check(ImageSize is { Height: > 0, Width: > 0 } && ImageSize.Height % unit == 0 && ImageSize.Width % unit == 0,
            nameof(ImageSize), $"is {ImageSize.Height} x {ImageSize.Width}; it must be multiples of {unit}");
        for (var stage = 0; stage < StageCount; stage++)
        {
            Check(OuterWidths[stage] % OuterHeadCounts[stage] == 0, nameof(OuterWidths),
                $"has {OuterWidths[stage]} in stage {stage}, not a multiple of {OuterHeadCounts[stage]} heads");
            Check(InnerWidths[stage] % InnerHeadCounts[stage] == 0, nameof(InnerWidths),
                $"has {InnerWidths[stage]} in stage {stage}, not a multiple of {InnerHeadCounts[stage]} heads");
            var ((rows, columns), stride) = (Grid(stage), KeyValueStrides[stage]);
            Check(stride > 0 && rows % stride == 0 && columns % stride == 0, nameof(KeyValueStrides),
                $"has {stride} in stage {stage}, which does not divide its {rows} x {columns} patches");
        }
        Check(DropPathRate is >= 0 and < 1, nameof(DropPathRate), $"is {DropPathRate}; it must be at least 0 and below 1");

        static void Check(bool holds, string property, string reason)
        {
            if (!holds)
                throw new ArgumentException($"PyramidTntConfig.{property} {reason}.");
        }
    }

    private int Before(int stage) => Depths.Take(stage).Sum();
}

/// <summary>
/// PyramidTNT: <see cref="Tnt"/> with a convolutional stem and stages of ever fewer, wider patches and words.
/// Parameters have the names of the official checkpoints, which load as they are.
/// <para>Source: Han et al., "PyramidTNT: Improved Transformer-in-Transformer Baselines with Pyramid Architecture", 2022
/// (arXiv 2201.00978), repository huawei-noah/Efficient-AI-Backbones, folder tnt_pytorch.</para>
/// </summary>
public static class PyramidTnt
{
    /// <summary>
    /// The published models by their name in timm's registry, and <c>ptnt_nano</c>, a small one of ours for images of 28 x 28.
    /// </summary>
    public static IReadOnlyDictionary<string, PyramidTntConfig> Variants { get; } = new Dictionary<string, PyramidTntConfig>
    {
        ["ptnt_ti_patch16_192"] = new()
        {
            Depths = [2, 6, 3, 2], OuterWidths = [80, 160, 320, 320], InnerWidths = [5, 10, 20, 20],
            OuterHeadCounts = [2, 4, 8, 8], InnerHeadCounts = [1, 2, 4, 4], ImageSize = (192, 192), Input = Tnt.Published(192),
        },
        ["ptnt_s_patch16_256"] = new()
        {
            Depths = [2, 8, 4, 2], OuterWidths = [128, 256, 512, 512], InnerWidths = [8, 16, 32, 32],
            OuterHeadCounts = [4, 8, 16, 16], InnerHeadCounts = [2, 4, 8, 8], Input = Tnt.Published(256),
        },
        ["ptnt_m_patch16_256"] = new()
        {
            Depths = [2, 8, 6, 2], OuterWidths = [192, 384, 768, 768], InnerWidths = [12, 24, 48, 48],
            OuterHeadCounts = [4, 8, 16, 16], InnerHeadCounts = [2, 4, 8, 8], Input = Tnt.Published(256),
        },
        ["ptnt_b_patch16_256"] = new()
        {
            Depths = [2, 10, 6, 2], OuterWidths = [256, 512, 1024, 1024], InnerWidths = [16, 32, 64, 64],
            OuterHeadCounts = [4, 8, 16, 16], InnerHeadCounts = [2, 4, 8, 8], Input = Tnt.Published(256),
        },
        ["ptnt_nano"] = new()
        {
            PatchSize = 2, WordsPerSide = 2, ImageSize = (28, 28), Depths = [2, 4], OuterWidths = [64, 128], InnerWidths = [16, 32],
            OuterHeadCounts = [2, 4], InnerHeadCounts = [2, 4], KeyValueStrides = [2, 1], LinearDeviation = 0.1, Input = Tnt.Published(28),
        },
    }.ToFrozenDictionary();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images in pixels: that of the configuration, which null stands for.</param>
    /// <param name="width">The width of the images in pixels: that of the configuration, which null stands for.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(PyramidTntConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        config.Validate();
        var (rows, columns) = config.ImageSize;
        if ((height ?? rows) != rows || (width ?? columns) != columns)
        {
            throw new ArgumentException(
                $"The model takes images of {rows} x {columns}, not of {height} x {width}: its positions are learned for one size. "
                + "Resize the images, or set PyramidTntConfig.ImageSize and train anew.");
        }
        var builder = new GraphBuilder("pyramid_tnt");
        var image = builder.Input("x", TensorElementType.Float, ["N", config.InputChannels, rows, columns]);
        var parameters = new Parameters(builder, weights) { LinearInitialization = Initialization.TruncatedNormal(config.LinearDeviation) };
        var (inner, outer) = Stem(image, config, parameters);
        for (var stage = 0; stage < config.StageCount; stage++)
        {
            if (stage > 0)
            {
                inner = MergeWords(inner, config, stage, parameters[$"word_merges.{stage - 1}"]);
                outer = MergeSentences(outer, config, stage, parameters[$"sentence_merges.{stage - 1}"]);
            }
            (inner, outer) = Stage(inner, outer, config, stage, parameters[$"stages.{stage}"]);
        }
        var feature = outer.LayerNorm(parameters["norm"], Tnt.LayerNormEpsilon).ReduceMean([1]);
        builder.Output("logits", feature.Linear(parameters["head"], config.ClassCount));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static (Value Inner, Value Outer) Stem(Value image, PyramidTntConfig config, Parameters parameters)
    {
        var (innerWidth, outerWidth) = (config.InnerWidths[0], config.OuterWidths[0]);
        var stem = parameters["patch_embed"];
        using var scope = stem.Scope();
        var common = Convolution(image, stem["common_conv"], 0, 2 * innerWidth, config.PatchSize / config.WordsPerSide);
        var words = Convolution(common, stem["inner_convs"], 0, innerWidth, stride: 1);
        var half = Convolution(common, stem["outer_convs"], 0, 4 * innerWidth, stride: 2);
        var quarter = Convolution(half, stem["outer_convs"], 3, 8 * innerWidth, config.WordsPerSide / 2);
        var sentences = Convolution(quarter, stem["outer_convs"], 6, outerWidth, stride: 1);

        var (rows, columns) = config.Grid(0);
        var inner = words.Reshape(0, innerWidth, rows, config.WordsPerSide, columns, config.WordsPerSide).Transpose(0, 2, 4, 3, 5, 1)
            .Reshape(-1, config.WordCount, innerWidth);
        var outer = Tokens(sentences);
        return (
            inner + parameters.Get("inner_pos", Initialization.TruncatedNormal(), 1, config.WordCount, innerWidth),
            outer + parameters.Get("outer_pos", Initialization.TruncatedNormal(), 1, rows * columns, outerWidth));

        static Value Convolution(Value map, Parameters parameters, int index, int channels, int stride) =>
            map.Conv2d(parameters[$"{index}"], channels, kernel: 3, stride, padding: 1).BatchNorm(parameters[$"{index + 1}"]).Apply("Relu");
    }

    // The words of four neighbouring patches, seen as one image of twice the side, become those of one.
    private static Value MergeWords(Value inner, PyramidTntConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var ((rows, columns), side, channels) = (config.Grid(stage), config.WordsPerSide, inner.Shape[2].Value);
        var convolution = new PatchConvolution
        {
            Size = 2 * side, InputChannels = channels, OutputChannels = config.InnerWidths[stage],
            Kernel = 3, Stride = 2, Padding = 1, ChannelsLast = true,
        };
        var groups = inner.LayerNorm(parameters["norm"], Tnt.LayerNormEpsilon)
            .Reshape(-1, rows, 2, columns, 2, side, side * channels).Transpose(0, 1, 3, 2, 5, 4, 6)
            .Reshape(-1, 4 * config.WordCount * channels);
        return convolution.Apply(groups, parameters["conv.0"]).Reshape(-1, config.WordCount, config.InnerWidths[stage]);
    }

    private static Value MergeSentences(Value outer, PyramidTntConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (rows, columns) = config.Grid(stage - 1);
        var map = outer.LayerNorm(parameters["norm"], Tnt.LayerNormEpsilon).Reshape(0, rows, columns, outer.Shape[2].Value);
        return Tokens(map.ToChannelsFirst().Conv2d(parameters["conv.0"], config.OuterWidths[stage], kernel: 3, stride: 2, padding: 1));
    }

    private static (Value Inner, Value Outer) Stage(
        Value inner, Value outer, PyramidTntConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (rows, columns) = config.Grid(stage);
        var positions = rows * columns;
        var stride = config.KeyValueStrides[stage];
        var relativePosition = parameters.Get("relative_pos", Initialization.TruncatedNormal(1, bound: 10),
            1, config.OuterHeadCounts[stage], positions, positions / (stride * stride));
        for (var block = 0; block < config.Depths[stage]; block++)
            (inner, outer) = Block(inner, outer, config, stage, block, relativePosition, parameters[$"blocks.{block}"]);
        return (inner, outer);
    }

    private static (Value Inner, Value Outer) Block(
        Value inner, Value outer, PyramidTntConfig config, int stage, int block, Value relativePosition, Parameters parameters)
    {
        using var scope = parameters.Scope();
        if (config.HasInner(stage, block))
        {
            inner = InnerResidual("inner_norm1", words => InnerAttention(words, config.InnerHeadCounts[stage], parameters["inner_attn"]));
            inner = InnerResidual("inner_norm2", words => words.Mlp(parameters["inner_mlp"], config.MlpRatio));
            var words = inner.Reshape(-1, outer.Shape[1].Value, Tnt.WidthOf(inner));
            outer += Tnt.Fold(words, config.OuterWidths[stage], parameters, bias: false);
        }
        outer = OuterResidual("outer_norm1", patches =>
            OuterAttention(patches, config, stage, relativePosition, parameters["outer_attn"]));
        outer = OuterResidual("outer_norm2", patches => patches.Mlp(parameters["outer_mlp"], config.MlpRatio));
        return (inner, outer);

        // Words are normalised over all channels of a patch.
        Value InnerResidual(string norm, Func<Value, Value> branch)
        {
            var normalized = inner.Reshape(-1, Tnt.WidthOf(inner)).LayerNorm(parameters[norm], Tnt.LayerNormEpsilon);
            return inner + Drop(branch(normalized.Reshape(-1, config.WordCount, inner.Shape[2].Value)));
        }

        Value OuterResidual(string norm, Func<Value, Value> branch) =>
            outer + Drop(branch(outer.LayerNorm(parameters[norm], Tnt.LayerNormEpsilon)));

        Value Drop(Value branch) => DropPath.Apply(branch, config.DropPathProbability(stage, block));
    }

    private static Value InnerAttention(Value words, int headCount, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = words.Shape[2].Value;
        var packed = words.JoinedLinear(bias: false, (parameters["q"], width), (parameters["kv"], 2 * width));
        return MultiHeadSelfAttention.Apply(packed, headCount).Linear(parameters["proj"], width);
    }

    // Keys and values are those of means over squares of patches.
    private static Value OuterAttention(
        Value patches, PyramidTntConfig config, int stage, Value relativePosition, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (headCount, stride, width) = (config.OuterHeadCounts[stage], config.KeyValueStrides[stage], patches.Shape[2].Value);
        if (stride == 1)
        {
            var packed = patches.JoinedLinear(bias: false, (parameters["q"], width), (parameters["kv"], 2 * width));
            return MultiHeadSelfAttention.Apply(packed, headCount, relativePosition).Linear(parameters["proj"], width);
        }
        var (rows, columns) = (config.Grid(stage).Rows / stride, config.Grid(stage).Columns / stride);
        var means = patches.Reshape(0, rows, stride, columns, stride, width).ReduceMean([2, 4]).Reshape(0, rows * columns, width);
        var pooled = means.Linear(parameters["linear"], width).LayerNorm(parameters["norm"], Tnt.LayerNormEpsilon);
        var keyValue = pooled.Linear(parameters["kv"], 2 * width, bias: false).Split(2, width, width);
        return MultiHeadAttention.Apply(
            patches.Linear(parameters["q"], width, bias: false), keyValue[0], keyValue[1], headCount, relativePosition)
            .Linear(parameters["proj"], width);
    }

    // [N, C, H, W] to [N, H * W, C]
    private static Value Tokens(Value map) => map.ToChannelsLast().Reshape(0, map.Shape[2].Value * map.Shape[3].Value, map.Shape[1].Value);
}
