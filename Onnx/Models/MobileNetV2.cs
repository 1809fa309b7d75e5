using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="MobileNetV2"/>.</summary>
public sealed record MobileNetV2Config : ImageClassifierConfig
{
    /// <summary>Starts from what the published models have in common.</summary>
    public MobileNetV2Config() => Input = new() { IsBicubic = false };

    /// <summary>What the widths are multiplied by; they are rounded to multiples of 8, or of 4 at 0.1.</summary>
    public double WidthMultiplier { get; init; } = 1;

    /// <summary>The attention before the projection of each block that expands; null for none.</summary>
    public EfficientLocalAttentionConfig? Attention { get; init; }

    /// <summary>The probability, below 1, at which features are dropped before the head while the model is trained.</summary>
    public float DropoutRate { get; init; } = 0.1f;

    /// <inheritdoc/>
    public override int LayerCount => MobileNetV2.BlockCount + 2;

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        MobileNetV2.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("classifier.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        return path[0] == "features" ? int.Parse(path[1], CultureInfo.InvariantCulture) : LayerCount - 1;
    }

    internal int Width(int width)
    {
        var multiple = WidthMultiplier == 0.1 ? 4 : 8;
        var scaled = width * WidthMultiplier;
        var rounded = Math.Max(multiple, (int)(scaled + (multiple / 2.0)) / multiple * multiple);
        return rounded < 0.9 * scaled ? rounded + multiple : rounded;
    }

    internal void Validate()
    {
        if (WidthMultiplier is not > 0 or double.PositiveInfinity)
            throw new ArgumentException($"MobileNetV2Config.WidthMultiplier is {WidthMultiplier}; it must be above 0.");
        if (DropoutRate is not (>= 0 and < 1))
            throw new ArgumentException($"MobileNetV2Config.DropoutRate is {DropoutRate}; it must be at least 0 and below 1.");
        if (DropPathRate != 0)
            throw new ArgumentException($"MobileNetV2Config.DropPathRate is {DropPathRate}; the architecture drops no paths, only 0 will do.");
    }
}

/// <summary>
/// MobileNetV2, plain or with efficient local attention in its blocks, for the classification of images. Parameters have the names of
/// the attention's authors.
/// <para>Sources: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (arXiv 1801.04381); Xu and Wan,
/// "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024 (arXiv 2403.01123), repository Xuwei86/ELA_Code.</para>
/// </summary>
public static class MobileNetV2
{
    internal const int BlockCount = 17;

    private const int StemWidth = 32;
    private const int LastWidth = 1280;

    private static readonly (int Expansion, int Width, int Depth, int Stride)[] Stages =
    [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ];

    /// <summary>
    /// <c>mobilenetv2</c> and, with the attention, <c>mobilenetv2_ela_b</c>, <c>_s</c>, <c>_l</c>; ELA-T does not fit its widths.
    /// </summary>
    public static IReadOnlyDictionary<string, MobileNetV2Config> Variants { get; } = new Dictionary<string, MobileNetV2Config>
    {
        ["mobilenetv2"] = new(),
        ["mobilenetv2_ela_b"] = new() { Attention = EfficientLocalAttentionConfig.Variants["ela_b"] },
        ["mobilenetv2_ela_s"] = new() { Attention = EfficientLocalAttentionConfig.Variants["ela_s"] },
        ["mobilenetv2_ela_l"] = new() { Attention = EfficientLocalAttentionConfig.Variants["ela_l"] },
    }.ToFrozenDictionary();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images; null for any.</param>
    /// <param name="width">The width of the images; null for any.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(MobileNetV2Config config, WeightSource weights, int? height = null, int? width = null)
    {
        config.Validate();
        var builder = new GraphBuilder("mobilenetv2");
        var image = builder.Input("x", TensorElementType.Float, ["N", config.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]);
        var parameters = new Parameters(builder, weights);

        var map = ConvNormRelu6(image, parameters["features.0"], "0", "1", config.Width(StemWidth), kernel: 3, stride: 2);
        var number = 0;
        foreach (var stage in Stages)
        {
            for (var block = 0; block < stage.Depth; block++)
            {
                map = Block(map, parameters[$"features.{++number}"], config.Attention,
                    config.Width(stage.Width), stage.Expansion, block == 0 ? stage.Stride : 1);
            }
        }
        var last = config.WidthMultiplier > 1 ? config.Width(LastWidth) : LastWidth;
        var features = ConvNormRelu6(map, parameters["conv"], "0", "1", last, kernel: 1).ReduceMean([2, 3]);
        if (config.DropoutRate > 0)
            features = builder.Op("Dropout", [features, builder.Constant(Tensor.Scalar(config.DropoutRate))]);
        builder.Output("logits", features.Linear(parameters["classifier.1"], config.ClassCount));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>One inverted residual block: [N, C, H, W] to [N, width, H / stride, W / stride].</summary>
    internal static Value Block(
        Value map, Parameters parameters, EfficientLocalAttentionConfig? attention, int width, int expansion, int stride)
    {
        using var scope = parameters.Scope();
        parameters = parameters["conv"];
        var hidden = (int)map.Shape[1].Value * expansion;
        Value branch;
        if (expansion == 1)
        {
            branch = ConvNormRelu6(map, parameters, "0", "1", hidden, kernel: 3, stride, group: hidden)
                .ConvNorm(parameters["3"], parameters["4"], width, kernel: 1);
        }
        else
        {
            branch = ConvNormRelu6(map, parameters, "0", "1", hidden, kernel: 1);
            branch = ConvNormRelu6(branch, parameters, "3", "4", hidden, kernel: 3, stride, group: hidden);
            branch = attention?.Apply(branch, parameters["6"]) ?? branch;
            // Without the attention the projection has its place.
            var (projection, norm) = attention is null ? ("6", "7") : ("7", "8");
            branch = branch.ConvNorm(parameters[projection], parameters[norm], width, kernel: 1);
        }
        return stride == 1 && map.Shape[1] == width ? map + branch : branch;
    }

    private static Value ConvNormRelu6(
        Value map, Parameters parameters, string convolution, string norm, int channels, int kernel, int stride = 1, int group = 1)
    {
        using var scope = parameters.Scope();
        return map.ConvNorm(parameters[convolution], parameters[norm], channels, kernel, stride, group).Clip(0, 6);
    }
}
