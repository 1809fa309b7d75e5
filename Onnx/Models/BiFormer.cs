using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>How the blocks of a <see cref="BiFormer"/> are put together.</summary>
public enum BiFormerLayout
{
    /// <summary>The published models T, S and B: overlapping stem, position convolutions, channels last inside the blocks.</summary>
    BiFormer,

    /// <summary>The layout of Swin-T, for comparison: patches of 4 x 4, no position convolutions (<c>biformer_stl</c>).</summary>
    SwinTiny,

    /// <summary>The layout of Swin-T with channels first throughout (<c>biformer_stl_nchw</c>).</summary>
    SwinTinyChannelsFirst,
}

/// <summary>What is made of the keys and values of a window before they are attended to.</summary>
public enum KeyValuePooling
{
    /// <summary>They are taken as they are.</summary>
    None,

    /// <summary>Means over <c>KeyValueBins</c> x <c>KeyValueBins</c> bins, overlapping where they do not divide the window.</summary>
    AdaptiveAverage,

    /// <summary>Maxima over <c>KeyValueBins</c> x <c>KeyValueBins</c> bins, overlapping where they do not divide the window.</summary>
    AdaptiveMax,

    /// <summary>Means over squares of <c>KeyValueStride</c> positions a side.</summary>
    Average,

    /// <summary>Maxima over squares of <c>KeyValueStride</c> positions a side.</summary>
    Max,
}

/// <summary>The hyper-parameters of a <see cref="BiFormer"/>. Lists have one entry a stage.</summary>
public sealed record BiFormerConfig : ImageClassifierConfig
{
    /// <summary>How the blocks are put together.</summary>
    public BiFormerLayout Layout { get; init; }

    /// <summary>Pixels of the image to one position of the first stage, along each side: 4 as published; 2 or 1 for small images.</summary>
    public int StemStride { get; init; } = 4;

    /// <summary>The number of blocks.</summary>
    public required IReadOnlyList<int> Depths { get; init; }

    /// <summary>The number of channels.</summary>
    public required IReadOnlyList<int> Widths { get; init; }

    /// <summary>The width of queries and keys in routed attention; that of the stage if null, as published.</summary>
    public IReadOnlyList<int>? QueryKeyWidths { get; init; }

    /// <summary>The width of the hidden layer of the MLPs, as a multiple of the stage's.</summary>
    public required IReadOnlyList<double> MlpRatios { get; init; }

    /// <summary>The width of one head in routed attention. Full attention has 8 heads whatever the width.</summary>
    public int HeadWidth { get; init; } = 32;

    /// <summary>The number of windows along each side of the map. It has no weights: a trained model runs with any.</summary>
    public IReadOnlyList<int> WindowCounts { get; init; } = [7, 7, 7, 7];

    /// <summary>
    /// The number of windows that each window attends to; -2 for full attention with a positional convolution, -1 for full attention
    /// without one, 0 for convolutions in place of attention. In <see cref="BiFormerLayout.SwinTinyChannelsFirst"/> -1 is the same as -2.
    /// </summary>
    public IReadOnlyList<int> TopKs { get; init; } = [1, 4, 16, -2];

    /// <summary>The kernel of the positional convolution beside the attention (LePE), odd; 0 for none.</summary>
    public int LePEKernel { get; init; } = 5;

    /// <summary>The kernel of the position convolution before the attention: 3, or 0 for none.</summary>
    public int PositionKernel { get; init; } = 3;

    /// <summary>Whether maps that do not divide into the windows are padded with zeros before the attention.</summary>
    public bool AutoPad { get; init; }

    /// <summary>Whether layers are normalised before attention and MLP, rather than after the sum.</summary>
    public bool PreNorm { get; init; } = true;

    /// <summary>The value at which learned factors of each attention's and MLP's channels start; null for no such factors.</summary>
    public float? LayerScale { get; init; }

    /// <summary>Whether the MLPs have a 3 x 3 convolution of each channel.</summary>
    public bool MlpConvolution { get; init; }

    /// <summary>The pooling of keys and values.</summary>
    public KeyValuePooling KeyValuePooling { get; init; }

    /// <summary>The number of bins along each side of a window, for adaptive pooling.</summary>
    public IReadOnlyList<int>? KeyValueBins { get; init; }

    /// <summary>The stride of pooling.</summary>
    public IReadOnlyList<int>? KeyValueStrides { get; init; }

    /// <summary>Whether keys and values are multiplied by the routing weight of their window.</summary>
    public bool SoftRouting { get; init; }

    /// <summary>
    /// Whether the published code lets gradients flow through the routing; needs <see cref="SoftRouting"/>. What the model computes does
    /// not depend on it.
    /// </summary>
    public bool DifferentiableRouting { get; init; }

    /// <summary>
    /// Whether the means of the windows pass a learned linear map before they are compared; needs <see cref="DifferentiableRouting"/>.
    /// </summary>
    public bool RoutingProjection { get; init; }

    /// <inheritdoc/>
    public override int LayerCount => Depths.Sum() + 2;

    /// <summary>The number of stages.</summary>
    internal int StageCount => Depths.Count;

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        BiFormer.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("head.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        return path[0] switch
        {
            "downsample_layers" => Before(int.Parse(path[1], CultureInfo.InvariantCulture)),
            "stages" => Before(int.Parse(path[1], CultureInfo.InvariantCulture)) + 1
                + int.Parse(path[2] == "blocks" ? path[3] : path[2], CultureInfo.InvariantCulture),
            _ => LayerCount - 1,
        };

        int Before(int stage) => Depths.Take(stage).Sum();
    }

    internal float DropPathProbability(int stage, int block) =>
        DropPathRate * (Depths.Take(stage).Sum() + block) / Math.Max(1, Depths.Sum() - 1);

    internal RoutedAttention RoutedAttention(int stage) => new()
    {
        HeadCount = Widths[stage] / HeadWidth,
        WindowCount = WindowCounts[stage],
        TopK = TopKs[stage],
        QueryKeyWidth = QueryKeyWidths?[stage],
        LePEKernel = LePEKernel,
        AutoPad = AutoPad,
        KeyValuePooling = KeyValuePooling,
        KeyValueBins = KeyValueBins?[stage] ?? 0,
        KeyValueStride = KeyValueStrides?[stage] ?? 1,
        SoftRouting = SoftRouting,
        DifferentiableRouting = DifferentiableRouting,
        RoutingProjection = RoutingProjection,
    };

    internal void Validate()
    {
        Check(StageCount > 0, nameof(Depths), "has no stage");
        foreach (var (name, list) in new (string, IReadOnlyList<int>?)[]
        {
            (nameof(Widths), Widths), (nameof(QueryKeyWidths), QueryKeyWidths), (nameof(WindowCounts), WindowCounts),
            (nameof(TopKs), TopKs), (nameof(KeyValueBins), KeyValueBins), (nameof(KeyValueStrides), KeyValueStrides),
        })
        {
            Check(list is null || list.Count == StageCount, name, $"has {list?.Count} entries for {StageCount} stages");
        }
        Check(MlpRatios.Count == StageCount, nameof(MlpRatios), $"has {MlpRatios.Count} entries for {StageCount} stages");
        Check(DropPathRate is >= 0 and < 1, nameof(DropPathRate), $"is {DropPathRate}; it must be at least 0 and below 1");
        Check(StemStride is 1 or 2 or 4, nameof(StemStride), $"is {StemStride}; it can be 1, 2 or 4");
        Check(PositionKernel is 0 or 3, nameof(PositionKernel), $"is {PositionKernel}; it can be 0 or 3");
        Check(LePEKernel == 0 || LePEKernel % 2 == 1, nameof(LePEKernel), $"is {LePEKernel}; it must be odd, or 0 for none");
        for (var stage = 0; stage < StageCount; stage++)
        {
            Check(TopKs[stage] >= -2, nameof(TopKs), $"has {TopKs[stage]}; the least is -2");
            var part = TopKs[stage] > 0 ? HeadWidth : TopKs[stage] < 0 ? FullAttention.PublishedHeadCount : 1;
            Check(Widths[stage] % part == 0, nameof(Widths), $"has {Widths[stage]} in stage {stage}, not a multiple of {part}");
        }
    }

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"BiFormerConfig.{property} {reason}.");
    }
}

/// <summary>The hyper-parameters of one routed attention.</summary>
internal sealed record RoutedAttention
{
    public required int HeadCount { get; init; }

    public required int WindowCount { get; init; }

    public required int TopK { get; init; }

    public int? QueryKeyWidth { get; init; }

    /// <summary>What the scores are multiplied by; the full width of queries and keys to the power -1/2 if null.</summary>
    public float? Scale { get; init; }

    public int LePEKernel { get; init; } = 5;

    public bool AutoPad { get; init; }

    public bool OutputProjection { get; init; } = true;

    public KeyValuePooling KeyValuePooling { get; init; }

    public int KeyValueBins { get; init; }

    public int KeyValueStride { get; init; }

    public bool SoftRouting { get; init; }

    public bool DifferentiableRouting { get; init; }

    public bool RoutingProjection { get; init; }

    /// <summary>Whether the operator bi-level routing attention covers it.</summary>
    public bool IsPublished => !SoftRouting && !DifferentiableRouting && !RoutingProjection && KeyValuePooling == KeyValuePooling.None;
}

/// <summary>The hyper-parameters of one full attention.</summary>
internal sealed record FullAttention
{
    public const int PublishedHeadCount = 8;

    public int HeadCount { get; init; } = PublishedHeadCount;

    /// <summary>What the scores are multiplied by; the width of one head to the power -1/2 if null.</summary>
    public float? Scale { get; init; }

    public bool QueryKeyValueBias { get; init; }

    /// <summary>The kernel of the positional convolution; 0 for none.</summary>
    public int LePEKernel { get; init; } = 5;
}

/// <summary>
/// BiFormer, a vision transformer with bi-level routing attention, for the classification of images and as a backbone.
/// Parameters have the names of the official checkpoints, which load as they are.
/// <para>Source: Zhu et al., "BiFormer: Vision Transformer with Bi-Level Routing Attention", CVPR 2023 (arXiv 2303.08810),
/// repository rayleizhu/BiFormer.</para>
/// </summary>
public static class BiFormer
{
    private const float LayerNormEpsilon = 1e-6f;

    /// <summary>
    /// The published models by their name in timm's registry, and <c>biformer_nano</c>, a small one of ours for images of about 32 x 32.
    /// </summary>
    public static IReadOnlyDictionary<string, BiFormerConfig> Variants { get; } = new Dictionary<string, BiFormerConfig>
    {
        ["biformer_tiny"] = new() { Depths = [2, 2, 8, 2], Widths = [64, 128, 256, 512], MlpRatios = [3, 3, 3, 3] },
        ["biformer_small"] = new() { Depths = [4, 4, 18, 4], Widths = [64, 128, 256, 512], MlpRatios = [3, 3, 3, 3] },
        ["biformer_base"] = new() { Depths = [4, 4, 18, 4], Widths = [96, 192, 384, 768], MlpRatios = [3, 3, 3, 3] },
        ["biformer_stl"] = new()
        {
            Layout = BiFormerLayout.SwinTiny,
            Depths = [2, 2, 6, 2], Widths = [96, 192, 384, 768], MlpRatios = [4, 4, 4, 4], PositionKernel = 0,
        },
        ["biformer_stl_nchw"] = new()
        {
            Layout = BiFormerLayout.SwinTinyChannelsFirst, TopKs = [1, 4, 16, -1],
            Depths = [2, 2, 6, 2], Widths = [96, 192, 384, 768], MlpRatios = [4, 4, 4, 4], PositionKernel = 0,
        },
        ["biformer_nano"] = new()
        {
            StemStride = 2, HeadWidth = 16, WindowCounts = [7, 7, 7], TopKs = [8, -2, -2], AutoPad = true,
            Depths = [1, 2, 1], Widths = [32, 64, 128], MlpRatios = [3, 3, 3],
        },
    }.ToFrozenDictionary();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images; null for any, on which the windows fit.</param>
    /// <param name="width">The width of the images; null for any, on which the windows fit.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(BiFormerConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var (parameters, image) = Start(config, weights, height, width);
        var map = Enumerable.Range(0, config.StageCount).Aggregate(image, (map, stage) => Stage(map, config, stage, parameters));
        var features = map.BatchNorm(parameters["norm"]).ReduceMean([2, 3]);
        image.Builder.Output("logits", features.Linear(parameters["head"], config.ClassCount));
        return Finish(image.Builder, parameters);
    }

    /// <summary>
    /// Builds a backbone for dense prediction: input <c>x</c> [N, C, H, W], outputs <c>f0</c>, <c>f1</c>, ... [N, width, H / 4, W / 4]
    /// and so on, one a stage, layer-normalised over the channels.
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildBackbone(BiFormerConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var (parameters, map) = Start(config, weights, height, width);
        for (var stage = 0; stage < config.StageCount; stage++)
        {
            map = Stage(map, config, stage, parameters);
            map.Builder.Output($"f{stage}", ChannelNorm(map, parameters[$"extra_norms.{stage}"]));
        }
        return Finish(map.Builder, parameters);
    }

    /// <summary>
    /// Bi-level routing attention as in the published models, with its projections and positional convolution: [N, H, W, C] to the same.
    /// </summary>
    internal static Value RoutedAttention(Value map, Parameters parameters, RoutedAttention options)
    {
        var width = map.Shape[3].Value;
        var queryKeyWidth = options.QueryKeyWidth ?? width;
        var padded = options.AutoPad ? PadToWindows(map, options.WindowCount) : map;
        CheckDivides(padded, options.WindowCount);

        var projected = padded.Linear(parameters["qkv.qkv"], (2 * queryKeyWidth) + width).Split(3, queryKeyWidth, queryKeyWidth, width);
        var (query, key, value) = (projected[0], projected[1], projected[2]);
        var attended = options.IsPublished
            ? BiLevelRoutingAttention.Apply(query, key, value, options.HeadCount, options.WindowCount, options.TopK, options.Scale)
            : WindowAttention(query, key, value, parameters["router"], options);
        if (options.LePEKernel > 0)
            attended += value.ToChannelsFirst().DepthwiseConv2d(parameters["lepe"], options.LePEKernel).ToChannelsLast();
        var output = options.OutputProjection ? attended.Linear(parameters["wo"], width) : attended;
        return options.AutoPad ? CropTo(output, map) : output;
    }

    /// <summary>Bi-level routing attention of the channels-first variant, on maps of any size: [N, C, H, W] to the same.</summary>
    internal static Value RoutedAttentionChannelsFirst(Value map, Parameters parameters, RoutedAttention options)
    {
        var width = map.Shape[1].Value;
        var projected = map.Conv2d(parameters["qkv_linear"], 3 * width, kernel: 1).Split(1, width, width, width);
        var attended = BiLevelRoutingAttention.Apply(
            projected[0].ToChannelsLast(), projected[1].ToChannelsLast(), projected[2].ToChannelsLast(),
            options.HeadCount, options.WindowCount, options.TopK, options.Scale).ToChannelsFirst();
        if (options.LePEKernel > 0)
            attended += projected[2].DepthwiseConv2d(parameters["lepe"], options.LePEKernel);
        return attended.Conv2d(parameters["output_linear"], width, kernel: 1);
    }

    /// <summary>
    /// Attention of every position to every other: [N, H, W, C] to the same. The positional convolution sees the input, not the values.
    /// </summary>
    internal static Value FullAttention(Value map, Parameters parameters, FullAttention options)
    {
        var width = map.Shape[3].Value;
        var packed = map.Linear(parameters["qkv"], 3 * width, options.QueryKeyValueBias).Reshape(0, -1, 3 * width);
        var attended = MultiHeadSelfAttention.Apply(packed, options.HeadCount, scale: options.Scale).ReshapeLike(map);
        if (options.LePEKernel > 0)
            attended += map.ToChannelsFirst().DepthwiseConv2d(parameters["lepe"], options.LePEKernel).ToChannelsLast();
        return attended.Linear(parameters["proj"], width);
    }

    /// <summary>Attention of every position to every other: [N, C, H, W] to the same. The positional convolution sees the values.</summary>
    internal static Value FullAttentionChannelsFirst(Value map, Parameters parameters, FullAttention options)
    {
        var width = map.Shape[1].Value;
        var headWidth = width / options.HeadCount;
        var scale = options.Scale ?? Math.Pow(headWidth, -0.5);
        var projected = map.Conv2d(parameters["qkv"], 3 * width, kernel: 1, bias: options.QueryKeyValueBias).Split(1, width, width, width);
        var (query, key, value) = (Heads(projected[0]), Heads(projected[1]), Heads(projected[2]));
        var scores = (query.Transpose(0, 1, 3, 2) * scale).MatMul(key);
        var attended = scores.Softmax().MatMul(value.Transpose(0, 1, 3, 2)).Transpose(0, 1, 3, 2).ReshapeLike(map);
        if (options.LePEKernel > 0)
            attended += projected[2].DepthwiseConv2d(parameters["lepe"], options.LePEKernel);
        return attended.Conv2d(parameters["proj"], width, kernel: 1);

        // [N, heads, width of one head, positions]
        Value Heads(Value value) => value.Reshape(0, options.HeadCount, headWidth, -1);
    }

    private static (Parameters Parameters, Value Image) Start(BiFormerConfig config, WeightSource weights, int? height, int? width)
    {
        config.Validate();
        var builder = new GraphBuilder("biformer");
        var image = builder.Input("x", TensorElementType.Float, ["N", config.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]);
        return (new(builder, weights), image);
    }

    private static OnnxModel Finish(GraphBuilder builder, Parameters parameters)
    {
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static Value Stage(Value map, BiFormerConfig config, int stage, Parameters parameters)
    {
        map = Downsample(map, config, stage, parameters[$"downsample_layers.{stage}"]);
        parameters = parameters[$"stages.{stage}"];
        using var scope = parameters.Scope();
        if (config.Layout == BiFormerLayout.SwinTiny)
            map = map.ToChannelsLast();
        for (var block = 0; block < config.Depths[stage]; block++)
            map = Block(map, config, stage, block, parameters[config.Layout == BiFormerLayout.BiFormer ? $"{block}" : $"blocks.{block}"]);
        return config.Layout == BiFormerLayout.SwinTiny ? map.ToChannelsFirst() : map;
    }

    private static Value Downsample(Value map, BiFormerConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = config.Widths[stage];
        var (firstStride, secondStride) = (Math.Min(2, config.StemStride), config.StemStride > 2 ? 2 : 1);
        return (config.Layout, stage) switch
        {
            (BiFormerLayout.BiFormer, 0) => map
                .Conv2d(parameters["0"], width / 2, kernel: 3, firstStride, padding: 1).BatchNorm(parameters["1"]).Gelu()
                .Conv2d(parameters["3"], width, kernel: 3, secondStride, padding: 1).BatchNorm(parameters["4"]),
            (BiFormerLayout.BiFormer, _) => map.Conv2d(parameters["0"], width, kernel: 3, stride: 2, padding: 1).BatchNorm(parameters["1"]),
            (_, 0) => map.Conv2d(parameters["0"], width, config.StemStride, config.StemStride).BatchNorm(parameters["1"]),
            _ => map.BatchNorm(parameters["0"]).Conv2d(parameters["1"], width, kernel: 2, stride: 2),
        };
    }

    private static Value Block(Value map, BiFormerConfig config, int stage, int block, Parameters parameters)
    {
        using var scope = parameters.Scope();
        if (config.Layout != BiFormerLayout.BiFormer)
            return AttentionAndMlp(map, config, stage, block, parameters);
        if (config.PositionKernel > 0)
            map += map.DepthwiseConv2d(parameters["pos_embed"], config.PositionKernel);
        return AttentionAndMlp(map.ToChannelsLast(), config, stage, block, parameters).ToChannelsFirst();
    }

    private static Value AttentionAndMlp(Value map, BiFormerConfig config, int stage, int block, Parameters parameters)
    {
        map = Residual(map, "norm1", "gamma1", value => Attention(value, config, stage, parameters["attn"]));
        return Residual(map, "norm2", "gamma2", value => Mlp(value, config, stage, parameters["mlp"]));

        Value Residual(Value input, string norm, string gamma, Func<Value, Value> branch)
        {
            var output = branch(config.PreNorm ? Norm(input) : input);
            if (config.LayerScale is { } start)
                output = parameters.Get(gamma, Initialization.Constant(start), config.Widths[stage]) * output;
            output = DropPath.Apply(output, config.DropPathProbability(stage, block));
            return config.PreNorm ? input + output : Norm(input + output);

            Value Norm(Value value) => config.Layout == BiFormerLayout.SwinTinyChannelsFirst
                ? ChannelNorm(value, parameters[norm])
                : value.LayerNorm(parameters[norm], LayerNormEpsilon);
        }
    }

    private static Value Attention(Value map, BiFormerConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var full = new FullAttention { LePEKernel = config.LePEKernel };
        return (config.Layout, config.TopKs[stage]) switch
        {
            (BiFormerLayout.SwinTinyChannelsFirst, > 0) => RoutedAttentionChannelsFirst(map, parameters, config.RoutedAttention(stage)),
            (BiFormerLayout.SwinTinyChannelsFirst, < 0) => FullAttentionChannelsFirst(map, parameters, full),
            (BiFormerLayout.SwinTinyChannelsFirst, _) => Convolutions(map, parameters),
            (_, > 0) => RoutedAttention(map, parameters, config.RoutedAttention(stage)),
            (_, -1) => FullAttention(map, parameters, full with { LePEKernel = 0 }),
            (_, < 0) => FullAttention(map, parameters, full),
            _ => Convolutions(map.ToChannelsFirst(), parameters).ToChannelsLast(),
        };
    }

    // What stands in place of attention where top-k is 0: [N, C, H, W] to the same.
    private static Value Convolutions(Value map, Parameters parameters)
    {
        var width = map.Shape[1].Value;
        return map.Conv2d(parameters["1"], width, kernel: 1)
            .DepthwiseConv2d(parameters["2"], kernel: 5)
            .Conv2d(parameters["3"], width, kernel: 1);
    }

    private static Value Mlp(Value map, BiFormerConfig config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (width, hiddenWidth) = (config.Widths[stage], (int)(config.Widths[stage] * config.MlpRatios[stage]));
        if (config.Layout == BiFormerLayout.SwinTinyChannelsFirst)
            return map.Conv2d(parameters["0"], hiddenWidth, kernel: 1).Gelu().Conv2d(parameters["2"], width, kernel: 1);
        var hidden = map.Linear(parameters["0"], hiddenWidth);
        if (config.MlpConvolution)
            hidden = hidden.ToChannelsFirst().DepthwiseConv2d(parameters["1.dwconv"], kernel: 3).ToChannelsLast();
        return hidden.Gelu().Linear(parameters[config.Layout == BiFormerLayout.BiFormer ? "3" : "2"], width);
    }

    private static Value ChannelNorm(Value map, Parameters parameters) =>
        map.ToChannelsLast().LayerNorm(parameters, LayerNormEpsilon).ToChannelsFirst();

    private static Value PadToWindows(Value map, int windowCount)
    {
        if (map.Shape[1].IsKnown && map.Shape[2].IsKnown)
        {
            var (bottom, right) = (Missing(map.Shape[1].Value), Missing(map.Shape[2].Value));
            return bottom + right == 0 ? map : map.Pad(0, 0, 0, 0, 0, bottom, right, 0);
        }
        var builder = map.Builder;
        var windows = builder.Int64(windowCount);
        var missing = builder.Op("Mod", [windows - builder.Op("Mod", [map.ShapeOf(1, 3), windows]), windows]);
        return builder.Op("Pad", [map, builder.Concat(0, builder.Int64(0, 0), missing), null, builder.Int64(1, 2)]);

        long Missing(long size) => (windowCount - (size % windowCount)) % windowCount;
    }

    private static Value CropTo(Value map, Value original)
    {
        if (map.Shape[1] == original.Shape[1] && map.Shape[2] == original.Shape[2])
            return map;
        var builder = map.Builder;
        return builder.Op("Slice", [map, builder.Int64(0, 0), original.ShapeOf(1, 3), builder.Int64(1, 2)]);
    }

    private static void CheckDivides(Value map, int windowCount)
    {
        var (height, width) = (map.Shape[1], map.Shape[2]);
        if ((height.IsKnown && height.Value % windowCount != 0) || (width.IsKnown && width.Value % windowCount != 0))
        {
            throw new ArgumentException(
                $"A map of {height} x {width} does not divide into {windowCount} x {windowCount} windows; "
                + "set BiFormerConfig.AutoPad or another size.");
        }
    }

    // The options that no published model uses, in standard operators. P is the number of windows, T the number of positions in one.
    private static Value WindowAttention(Value query, Value key, Value value, Parameters router, RoutedAttention options)
    {
        if (!query.Shape.Skip(1).All(dim => dim.IsKnown))
            throw new ArgumentException("Pooled keys and soft routing need a fixed size of the images.");
        if ((options.RoutingProjection && !options.DifferentiableRouting) || (options.DifferentiableRouting && !options.SoftRouting))
            throw new ArgumentException("RoutingProjection needs DifferentiableRouting, and that needs SoftRouting.");
        var builder = query.Builder;
        var (size, headCount) = (options.WindowCount, options.HeadCount);
        var count = size * size;
        var (height, width) = (query.Shape[1].Value / size, query.Shape[2].Value / size);
        var scale = options.Scale ?? Math.Pow(query.Shape[3].Value, -0.5);
        (query, key, value) = (Windows(query), Windows(key), Windows(value));

        var (queryMean, keyMean) = (query.ReduceMean([2, 3]), key.ReduceMean([2, 3]));
        if (options.RoutingProjection)
            (queryMean, keyMean) = (Project(queryMean), Project(keyMean));
        var (logits, routing) = (queryMean * scale).MatMul(keyMean.Transpose(0, 2, 1)).TopK(builder.Int64(options.TopK));
        var weights = options.SoftRouting ? logits.Softmax().Unsqueeze(3, 4) : null;

        var scores = (query.Reshape(0, count, height * width, headCount, -1).Transpose(0, 1, 3, 2, 4) * scale)
            .MatMul(Heads(Gather(Pool(key))).Transpose(0, 1, 3, 4, 2));
        var attended = scores.Softmax().MatMul(Heads(Gather(Pool(value))).Transpose(0, 1, 3, 2, 4));
        return attended.Transpose(0, 1, 3, 2, 4).Reshape(0, size, size, height, width, -1).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(0, size * height, size * width, headCount * attended.Shape[4].Value);

        // [N, H, W, C] to [N, P, height, width, C]
        Value Windows(Value map) => map.Reshape(0, size, height, size, width, map.Shape[3].Value).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(0, count, height, width, map.Shape[3].Value);

        Value Project(Value mean) => mean.Linear(router["emb"], mean.Shape[2].Value);

        // [N, P, height, width, C] to [N, P, T, C]
        Value Pool(Value windows)
        {
            var reduction = options.KeyValuePooling is KeyValuePooling.Max or KeyValuePooling.AdaptiveMax ? "ReduceMax" : "ReduceMean";
            foreach (var (axis, length) in options.KeyValuePooling == KeyValuePooling.None ? [] : new[] { (2, height), (3, width) })
            {
                var bins = Bins(options, length).Select(bin => windows.Slice(axis, bin.Start, bin.End));
                windows = builder.Concat(axis, [.. bins.Select(bin => bin.Reduce(reduction, [axis], keepDims: true))]);
            }
            return windows.Reshape(0, count, -1, windows.Shape[4].Value);
        }

        // The windows attended to, [N, P, T, C] to [N, P, k, T, C]: windows of all images in a row, those of image n from n P on.
        Value Gather(Value windows)
        {
            var (zero, one) = (builder.Constant(Tensor.Scalar(0L)), builder.Constant(Tensor.Scalar(1L)));
            var images = builder.Op("Range", [zero, windows.ShapeOf(0, 1).Squeeze(0), one]).Reshape(-1, 1, 1);
            var all = windows.Reshape(-1, windows.Shape[2].Value, windows.Shape[3].Value);
            var gathered = all.Gather(routing + (images * builder.Int64(count)));
            return weights is null ? gathered : gathered * weights;
        }

        // [N, P, k, T, C] to [N, P, k T, heads, width of one head]
        Value Heads(Value gathered) => gathered.Reshape(0, count, -1, headCount, gathered.Shape[4].Value / headCount);
    }

    // The ranges of positions that pooling joins along a side of a window.
    private static IEnumerable<(long Start, long End)> Bins(RoutedAttention options, long length)
    {
        var isAdaptive = options.KeyValuePooling is KeyValuePooling.AdaptiveAverage or KeyValuePooling.AdaptiveMax;
        var (bins, stride) = (options.KeyValueBins, options.KeyValueStride);
        var count = isAdaptive ? bins : length / stride;
        if (count < 1)
            throw new ArgumentException($"{options.KeyValuePooling} pooling leaves no key of a window of {length} positions a side.");
        for (long i = 0; i < count; i++)
            yield return isAdaptive ? (i * length / bins, (((i + 1) * length) + bins - 1) / bins) : (i * stride, (i + 1) * stride);
    }
}
