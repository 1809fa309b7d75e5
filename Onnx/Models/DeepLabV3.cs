using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="DeepLabV3"/>.</summary>
public sealed record DeepLabV3Config
{
    /// <summary>The backbone.</summary>
    public required ResNetConfig Backbone { get; init; }

    /// <summary>The number of classes, the background among them: 21 for Pascal VOC.</summary>
    public int ClassCount { get; init; } = 21;

    /// <summary>Pixels to one position of the backbone's last map: 16 or 8.</summary>
    public int OutputStride { get; init; } = 16;
}

/// <summary>
/// DeepLabV3 on a ResNet, plain or with efficient local attention in the blocks, for semantic segmentation. Parameters have the names of
/// the attention's authors.
/// <para>Sources: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017 (arXiv 1706.05587); Xu and Wan,
/// "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024 (arXiv 2403.01123), repository Xuwei86/ELA_Code.</para>
/// </summary>
public static class DeepLabV3
{
    private const int Width = 256;
    private const float DropoutRate = 0.1f;

    /// <summary>
    /// <c>deeplabv3_resnet18</c> and <c>deeplabv3_resnet50</c>, each also with the attention inside its blocks
    /// (<c>deeplabv3_resnet18_ela_t</c>, <c>_b</c>, <c>_s</c>, <c>_l</c>).
    /// </summary>
    public static IReadOnlyDictionary<string, DeepLabV3Config> Variants { get; } =
        ResNet.Variants.Where(variant => variant.Key.StartsWith("resnet18", StringComparison.Ordinal)
                || variant.Key.StartsWith("resnet50", StringComparison.Ordinal))
            .ToFrozenDictionary(
                variant => "deeplabv3_" + variant.Key,
                variant => new DeepLabV3Config { Backbone = variant.Value with { AttentionPosition = ResNetAttentionPosition.Inner } });

    /// <summary>Builds the network: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes, H, W].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images; null for any.</param>
    /// <param name="width">The width of the images; null for any.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other or do not fit the size of the images.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(DeepLabV3Config config, WeightSource weights, int? height = null, int? width = null)
    {
        if (config.OutputStride is not (8 or 16))
            throw new ArgumentException($"DeepLabV3Config.OutputStride is {config.OutputStride}; it can be 8 or 16.");
        var builder = new GraphBuilder("deeplabv3");
        var image = builder.Input(
            "x", TensorElementType.Float, ["N", config.Backbone.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]);
        var parameters = new Parameters(builder, weights);

        var backbone = parameters["backbone"];
        Value map;
        using (backbone.Scope())
            map = ResNet.Stages(image, backbone, config.Backbone, config.OutputStride)[^1];
        var head = parameters["classifier.classifier"];
        map = Pyramid(map, head["0"], config.OutputStride == 16 ? 6 : 12)
            .ConvNorm(head["1"], head["2"], Width, kernel: 3).Apply("Relu")
            .Conv2d(head["4"], config.ClassCount, kernel: 1);
        builder.Output("logits", Resize(map, image));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    // Convolutions of several dilations and the mean of the map, side by side.
    private static Value Pyramid(Value map, Parameters parameters, int rate)
    {
        using var scope = parameters.Scope();
        var pooled = ConvNorm(map.ReduceMean([2, 3], keepDims: true), "convs.4.1", "convs.4.2", kernel: 1);
        var branches = map.Builder.Concat(
            1,
            ConvNorm(map, "convs.0.0", "convs.0.1", kernel: 1),
            ConvNorm(map, "convs.1.0", "convs.1.1", kernel: 3, rate),
            ConvNorm(map, "convs.2.0", "convs.2.1", kernel: 3, 2 * rate),
            ConvNorm(map, "convs.3.0", "convs.3.1", kernel: 3, 3 * rate),
            pooled.Expand(map.Builder.Concat(0, map.ShapeOf(0, 1), map.Builder.Int64(Width), map.ShapeOf(2, 4))));
        var joined = ConvNorm(branches, "project.0", "project.1", kernel: 1);
        return map.Builder.Op("Dropout", [joined, map.Builder.Constant(Tensor.Scalar(DropoutRate))]);

        Value ConvNorm(Value value, string convolution, string norm, int kernel, int dilation = 1) =>
            value.ConvNorm(parameters[convolution], parameters[norm], Width, kernel, dilation: dilation).Apply("Relu");
    }

    // Bilinear, to the size of the image.
    private static Value Resize(Value map, Value image)
    {
        var sizes = map.Builder.Concat(0, map.ShapeOf(0, 2), image.ShapeOf(2, 4));
        return map.Builder.Op("Resize", [map, null, null, sizes], new()
        {
            ["mode"] = "linear",
            ["coordinate_transformation_mode"] = "half_pixel",
        });
    }
}
