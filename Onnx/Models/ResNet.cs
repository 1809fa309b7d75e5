using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The residual blocks of a <see cref="ResNet"/>.</summary>
public enum ResNetBlock
{
    /// <summary>Two convolutions of 3 x 3.</summary>
    Basic,

    /// <summary>Convolutions of 1 x 1, 3 x 3 (which has the stride) and 1 x 1, the last to four times the width.</summary>
    Bottleneck,
}

/// <summary>What a <see cref="ResNet"/> does before its first stage.</summary>
public enum ResNetStem
{
    /// <summary>As published: a convolution of 7 x 7 with stride 2, and max-pooling with stride 2.</summary>
    Large,

    /// <summary>Three convolutions of 3 x 3, the first with stride 2 and the last to twice the width, and max-pooling with stride 2.</summary>
    Deep,

    /// <summary>For small images: a convolution of 3 x 3 that keeps their size.</summary>
    Small,
}

/// <summary>Where the attention is in the blocks of a <see cref="ResNet"/>.</summary>
public enum ResNetAttentionPosition
{
    /// <summary>At the end of the branch, after its last normalisation: parameters <c>layerA.B.ela.*</c>.</summary>
    BlockEnd,

    /// <summary>
    /// As in the authors' segmentation networks, added to what it attends to: after the last normalisation of a basic block
    /// (<c>layerA.B.feat0.*</c>), before the last convolution of a bottleneck (<c>layerA.B.feat1.*</c>).
    /// </summary>
    Inner,
}

/// <summary>The hyper-parameters of a <see cref="ResNet"/>. Lists have one entry a stage.</summary>
public sealed record ResNetConfig : ImageClassifierConfig
{
    /// <summary>Starts from what the published models have in common.</summary>
    public ResNetConfig() => Input = new() { IsBicubic = false };

    /// <summary>The kind of residual blocks.</summary>
    public required ResNetBlock Block { get; init; }

    /// <summary>The number of blocks.</summary>
    public required IReadOnlyList<int> Depths { get; init; }

    /// <summary>The number of channels of the blocks' 3 x 3 convolutions.</summary>
    public IReadOnlyList<int> Widths { get; init; } = [64, 128, 256, 512];

    /// <summary>What comes before the first stage.</summary>
    public ResNetStem Stem { get; init; }

    /// <summary>The attention in each block; null for none.</summary>
    public EfficientLocalAttentionConfig? Attention { get; init; }

    /// <summary>Where it is.</summary>
    public ResNetAttentionPosition AttentionPosition { get; init; }

    /// <inheritdoc/>
    public override int LayerCount => Depths.Sum() + 2;

    /// <summary>What the width of a block's output is a multiple of.</summary>
    internal int Expansion => Block == ResNetBlock.Bottleneck ? 4 : 1;

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        ResNet.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("fc.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        if (!path[0].StartsWith("layer", StringComparison.Ordinal))
            return path[0] == "fc" ? LayerCount - 1 : 0;
        var stage = int.Parse(path[0]["layer".Length..], CultureInfo.InvariantCulture) - 1;
        return Depths.Take(stage).Sum() + int.Parse(path[1], CultureInfo.InvariantCulture) + 1;
    }

    internal float DropPathProbability(int stage, int block) =>
        DropPathRate * (Depths.Take(stage).Sum() + block) / Math.Max(1, Depths.Sum() - 1);

    internal void Validate()
    {
        Check(Depths.Count > 0, nameof(Depths), "has no stage");
        Check(Depths.All(depth => depth > 0), nameof(Depths), "has a stage without blocks");
        Check(Widths.Count == Depths.Count, nameof(Widths), $"has {Widths.Count} entries for {Depths.Count} stages");
        Check(Widths.All(width => width > 0), nameof(Widths), "has a stage without channels");
        Check(DropPathRate is >= 0 and < 1, nameof(DropPathRate), $"is {DropPathRate}; it must be at least 0 and below 1");
    }

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"ResNetConfig.{property} {reason}.");
    }
}

/// <summary>
/// ResNet in the form of torchvision (v1.5), plain or with efficient local attention in its blocks, for the classification of images
/// and as a backbone. Parameters have torchvision's names.
/// <para>Sources: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), repository pytorch/vision;
/// Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024 (arXiv 2403.01123), repository
/// Xuwei86/ELA_Code.</para>
/// </summary>
public static class ResNet
{
    private const int LargestStride = 32;

    /// <summary>
    /// <c>resnet18</c>, <c>resnet34</c>, <c>resnet50</c>, <c>resnet101</c>, each also with the attention at the end of its blocks
    /// (<c>resnet18_ela_t</c>, <c>_b</c>, <c>_s</c>, <c>_l</c>), and <c>resnet_ela_nano</c>, a small one of ours for images of about 32 x 32.
    /// </summary>
    public static IReadOnlyDictionary<string, ResNetConfig> Variants { get; } = CreateVariants();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images; null for any.</param>
    /// <param name="width">The width of the images; null for any.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(ResNetConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var (parameters, image) = Start(config, weights, height, width);
        var features = Stages(image, parameters, config)[^1].ReduceMean([2, 3]);
        image.Builder.Output("logits", features.Linear(parameters["fc"], config.ClassCount));
        parameters.ThrowIfUnfit();
        return image.Builder.ToModel();
    }

    /// <summary>
    /// Builds a backbone for dense prediction: input <c>x</c> [N, C, H, W], outputs <c>c2</c>, <c>c3</c>, <c>c4</c>, <c>c5</c>
    /// [N, width, H / stride, W / stride], one a stage.
    /// </summary>
    /// <param name="config">The hyper-parameters; the number of classes does not matter.</param>
    /// <param name="weights">Where the parameters come from; there are none of <c>fc</c>.</param>
    /// <param name="height">The height of the images; null for any.</param>
    /// <param name="width">The width of the images; null for any.</param>
    /// <param name="outputStride">
    /// Pixels to one position of the last map: 32, or 16, 8 or 4, where the last stages have dilated convolutions in place of strides
    /// (bottlenecks only: basic blocks lose the stride and stay as they are, as in the authors' segmentation networks).
    /// </param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel BuildBackbone(
        ResNetConfig config, WeightSource weights, int? height = null, int? width = null, int outputStride = LargestStride)
    {
        var (parameters, image) = Start(config, weights, height, width);
        var maps = Stages(image, parameters, config, outputStride);
        for (var stage = 0; stage < maps.Length; stage++)
            image.Builder.Output($"c{stage + 2}", maps[stage]);
        parameters.ThrowIfUnfit();
        return image.Builder.ToModel();
    }

    /// <summary>The maps of all stages, [N, width, H / stride, W / stride].</summary>
    internal static Value[] Stages(Value image, Parameters parameters, ResNetConfig config, int outputStride = LargestStride)
    {
        config.Validate();
        if (outputStride is not (4 or 8 or 16 or LargestStride))
        {
            throw new ArgumentException(
                $"The output stride is {outputStride}; it can be 4, 8, 16 or {LargestStride}.", nameof(outputStride));
        }
        var map = Stem(image, parameters, config);
        var (stride, dilation) = (config.Stem == ResNetStem.Small ? 1 : 4, 1);
        var maps = new Value[config.Depths.Count];
        for (var stage = 0; stage < maps.Length; stage++)
        {
            using var scope = parameters[$"layer{stage + 1}"].Scope();
            var isStrided = stage > 0 && stride < outputStride;
            stride *= isStrided ? 2 : 1;
            for (var block = 0; block < config.Depths[stage]; block++)
            {
                map = Block(map, parameters[$"layer{stage + 1}"][$"{block}"], config, config.Widths[stage],
                    block == 0 && isStrided ? 2 : 1, dilation, config.DropPathProbability(stage, block));
                // What a stage's first block does in place of a stride is felt from its second one on.
                if (block == 0 && stage > 0 && !isStrided)
                    dilation *= 2;
            }
            maps[stage] = map;
        }
        return maps;
    }

    /// <summary>One residual block: [N, C, H, W] to [N, width * expansion, H / stride, W / stride].</summary>
    internal static Value Block(
        Value map, Parameters parameters, ResNetConfig config, int width, int stride, int dilation = 1, float dropPathProbability = 0)
    {
        using var scope = parameters.Scope();
        Value branch;
        if (config.Block == ResNetBlock.Basic)
        {
            branch = map.ConvNorm(parameters["conv1"], parameters["bn1"], width, kernel: 3, stride).Apply("Relu")
                .ConvNorm(parameters["conv2"], parameters["bn2"], width, kernel: 3);
            branch = InnerAttention(branch, parameters["feat0"], config);
        }
        else
        {
            branch = map.ConvNorm(parameters["conv1"], parameters["bn1"], width, kernel: 1).Apply("Relu")
                .ConvNorm(parameters["conv2"], parameters["bn2"], width, kernel: 3, stride, dilation: dilation).Apply("Relu");
            branch = InnerAttention(branch, parameters["feat1"], config)
                .ConvNorm(parameters["conv3"], parameters["bn3"], width * config.Expansion, kernel: 1);
        }
        if (config is { Attention: { } attention, AttentionPosition: ResNetAttentionPosition.BlockEnd })
            branch = attention.Apply(branch, parameters["ela"]);
        var shortcut = stride == 1 && map.Shape[1] == branch.Shape[1]
            ? map
            : map.ConvNorm(parameters["downsample.0"], parameters["downsample.1"], branch.Shape[1].Value, kernel: 1, stride);
        return (DropPath.Apply(branch, dropPathProbability) + shortcut).Apply("Relu");
    }

    private static Value InnerAttention(Value map, Parameters parameters, ResNetConfig config) =>
        config is { Attention: { } attention, AttentionPosition: ResNetAttentionPosition.Inner }
            ? map + attention.Apply(map, parameters)
            : map;

    private static (Parameters Parameters, Value Image) Start(ResNetConfig config, WeightSource weights, int? height, int? width)
    {
        var builder = new GraphBuilder("resnet");
        var image = builder.Input("x", TensorElementType.Float, ["N", config.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]);
        return (new(builder, weights), image);
    }

    private static Value Stem(Value image, Parameters parameters, ResNetConfig config)
    {
        var width = config.Widths[0];
        var map = config.Stem switch
        {
            ResNetStem.Large => Convolution(image, 1, width, kernel: 7, stride: 2),
            ResNetStem.Small => Convolution(image, 1, width, kernel: 3, stride: 1),
            _ => Convolution(Convolution(Convolution(image, 1, width, 3, stride: 2), 2, width, 3, stride: 1), 3, 2 * width, 3, stride: 1),
        };
        return config.Stem == ResNetStem.Small ? map : map.Builder.Op("MaxPool", [map], new()
        {
            ["kernel_shape"] = new long[] { 3, 3 },
            ["strides"] = new long[] { 2, 2 },
            ["pads"] = new long[] { 1, 1, 1, 1 },
        });

        Value Convolution(Value value, int number, int channels, int kernel, int stride) =>
            value.ConvNorm(parameters[$"conv{number}"], parameters[$"bn{number}"], channels, kernel, stride).Apply("Relu");
    }

    private static FrozenDictionary<string, ResNetConfig> CreateVariants()
    {
        var variants = new Dictionary<string, ResNetConfig>
        {
            ["resnet18"] = new() { Block = ResNetBlock.Basic, Depths = [2, 2, 2, 2] },
            ["resnet34"] = new() { Block = ResNetBlock.Basic, Depths = [3, 4, 6, 3] },
            ["resnet50"] = new() { Block = ResNetBlock.Bottleneck, Depths = [3, 4, 6, 3] },
            ["resnet101"] = new() { Block = ResNetBlock.Bottleneck, Depths = [3, 4, 23, 3] },
        };
        foreach (var (name, config) in variants.ToArray())
        {
            foreach (var (attention, attentionConfig) in EfficientLocalAttentionConfig.Variants)
                variants.Add($"{name}_{attention}", config with { Attention = attentionConfig });
        }
        variants.Add("resnet_ela_nano", new()
        {
            Block = ResNetBlock.Basic, Depths = [2, 2, 2], Widths = [32, 64, 128], Stem = ResNetStem.Small,
            Attention = EfficientLocalAttentionConfig.Variants["ela_s"],
            Input = new() { IsBicubic = false, Size = 32, CropFraction = 1 },
        });
        return variants.ToFrozenDictionary();
    }
}
