using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="Ugdc"/>.</summary>
public sealed record UgdcConfig
{
    /// <summary>The number of channels at the picture's size; each of the four levels below has twice as many as the one above.</summary>
    public int StemWidth { get; init; } = 64;

    /// <summary>
    /// Whether the two deepest levels have global dynamic convolutions, whose parameters belong to one size of the picture; else the net
    /// is a plain U-Net.
    /// </summary>
    public bool IsDynamic { get; init; } = true;

    /// <summary>Whether maps are enlarged bilinearly rather than by transposed convolutions. No published net does.</summary>
    public bool IsBilinear { get; init; }

    /// <summary>The height of the pictures in pixels. Weights of a dynamic net are of use at this height only.</summary>
    public int Height { get; init; } = 400;

    /// <summary>The width of the pictures in pixels. Weights of a dynamic net are of use at this width only.</summary>
    public int Width { get; init; } = 640;

    /// <summary>
    /// The probability, below 1, at which a global dynamic convolution is left out for a picture while the net is trained; 0.2 in the
    /// published training.
    /// </summary>
    public float DropPathRate { get; init; }

    /// <summary>Checks that the picture reaches the deepest level with at least one patch of a dynamic convolution.</summary>
    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(StemWidth);
        var smallest = (IsDynamic ? Ugdc.PatchSize : 1) << Ugdc.LevelCount;
        if (Height < smallest || Width < smallest)
        {
            throw new ArgumentException(
                $"Pictures of {Height} x {Width} are too small: each side needs {smallest} pixels to leave something at the "
                + "deepest level.");
        }
    }
}

/// <summary>
/// UGDC, a U-Net with global dynamic convolutions that enhances pictures taken in low light, in two nets one after the other: the
/// predicting net makes a coarse picture of normal light, the enhancing net the error of that, which is subtracted. In training a third
/// net of the same kind, the troublemaker, turns pictures of normal light into dark ones.
/// <para>Source: "Troublemaker Learning for Low-Light Image Enhancement" (arXiv 2402.04584), repository Rainbowman0/TML_LLIE.</para>
/// </summary>
public static class Ugdc
{
    internal const int LevelCount = 4;
    internal const int PatchSize = 5;

    private const int ChannelCount = 3;
    private const float LayerNormEpsilon = 1e-6f;

    /// <summary>Subtracted from red, green and blue, which are in [0, 1]; with <see cref="StandardDeviation"/> the nets' domain.</summary>
    public static IReadOnlyList<float> Mean { get; } = [0.485f, 0.456f, 0.406f];

    /// <summary>What red, green and blue are divided by after that.</summary>
    public static IReadOnlyList<float> StandardDeviation { get; } = [0.229f, 0.224f, 0.225f];

    /// <summary>
    /// The published nets: <c>ugdc</c>, which predicts (the troublemaker is of the same kind), <c>ugdc_enhance</c>, and the plain U-Nets
    /// they are compared with, <c>unet</c> and <c>unet_enhance</c>.
    /// </summary>
    public static IReadOnlyDictionary<string, UgdcConfig> Variants { get; } = new Dictionary<string, UgdcConfig>
    {
        ["ugdc"] = new(),
        ["ugdc_enhance"] = new() { StemWidth = 32 },
        ["unet"] = new() { IsDynamic = false },
        ["unet_enhance"] = new() { StemWidth = 32, IsDynamic = false },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds one net: input <c>x</c> [N, 3, H, W], output <c>y</c> [N, 3, H, W], both in the normalised domain
    /// (<see cref="Mean"/>, <see cref="StandardDeviation"/>).
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <exception cref="ArgumentException">The picture is too small for the net.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the net; the message lists every difference.</exception>
    public static OnnxModel Build(UgdcConfig config, WeightSource weights)
    {
        var builder = new GraphBuilder("ugdc");
        var parameters = new Parameters(builder, WithoutUnused(weights));
        builder.Output("y", Net(Picture(builder, "x", config), config, parameters));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>
    /// Builds the predicting and the enhancing net as one model: input <c>x</c> [N, 3, H, W] in the normalised domain; outputs
    /// <c>coarse</c>, what the first net makes of it, <c>residual</c>, what the second one makes of that, <c>normalized</c>, their
    /// difference, all [N, 3, H, W] in the normalised domain, and <c>image</c> [N, H, W, 3], that as 8-bit RGB.
    /// </summary>
    /// <param name="predict">The hyper-parameters of the predicting net.</param>
    /// <param name="enhance">The hyper-parameters of the enhancing net.</param>
    /// <param name="weights">
    /// Where the parameters come from; names are those of the nets' own checkpoints after <c>pred.</c> and <c>enhance.</c>
    /// </param>
    /// <exception cref="ArgumentException">A picture is too small for a net, or the nets take different sizes.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the nets; the message lists every difference.</exception>
    public static OnnxModel BuildPipeline(UgdcConfig predict, UgdcConfig enhance, WeightSource weights)
    {
        if ((predict.Height, predict.Width) != (enhance.Height, enhance.Width))
        {
            throw new ArgumentException($"The predicting net takes pictures of {predict.Height} x {predict.Width}, the enhancing "
                + $"net of {enhance.Height} x {enhance.Width}; give both the same size.");
        }
        var builder = new GraphBuilder("ugdc");
        var parameters = new Parameters(builder, WithoutUnused(weights));
        var coarse = Net(Picture(builder, "x", predict), predict, parameters["pred"]);
        var residual = Net(coarse, enhance, parameters["enhance"]);
        var normalized = coarse - residual;
        builder.Output("coarse", coarse);
        builder.Output("residual", residual);
        builder.Output("normalized", normalized);
        builder.Output("image", ToImage(normalized));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>An input of pictures in the normalised domain.</summary>
    internal static Value Picture(GraphBuilder builder, string name, UgdcConfig config) =>
        builder.Input(name, TensorElementType.Float, ["N", ChannelCount, config.Height, config.Width]);

    /// <summary>One net: [N, 3, H, W] to the same.</summary>
    internal static Value Net(Value picture, UgdcConfig config, Parameters parameters)
    {
        config.Validate();
        using var scope = parameters.Scope();
        var width = config.StemWidth;
        // The deepest map and what comes of it are half as wide where enlarging keeps the width.
        var narrow = config.IsBilinear ? 2 : 1;
        var level0 = DoubleConv(picture, parameters["inc.double_conv"], width);
        var level1 = DoubleConv(Halve(level0), parameters["down1.maxpool_conv.1.double_conv"], 2 * width);
        var level2 = DoubleConv(Halve(level1), parameters["down2.maxpool_conv.1.double_conv"], 4 * width);
        var level3 = Deep(Halve(level2), parameters["down3.maxpool_conv.1.double_conv"], 8 * width);
        var level4 = Deep(Halve(level3), parameters["down4.maxpool_conv.1.double_conv"], 16 * width / narrow);
        var map = Up(level4, level3, parameters["up1"], 8 * width / narrow, config, config.IsDynamic);
        map = Up(map, level2, parameters["up2"], 4 * width / narrow, config, config.IsDynamic);
        map = Up(map, level1, parameters["up3"], 2 * width / narrow, config, isDynamic: false);
        map = Up(map, level0, parameters["up4"], width, config, isDynamic: false);
        return map.Conv2d(parameters["outc.conv"], ChannelCount, kernel: 1);

        Value Deep(Value map, Parameters parameters, long channels) =>
            config.IsDynamic ? DynamicConv(map, parameters, channels, config.DropPathRate) : DoubleConv(map, parameters, channels);
    }

    /// <summary>
    /// A stage of the decoder: the deep map is enlarged to the size of the skipped one and joined to it. [N, Cd, h, w] and [N, Cs, H, W]
    /// to [N, channels, H, W], where H is 2 h or 2 h + 1.
    /// </summary>
    internal static Value Up(Value deep, Value skip, Parameters parameters, long channels, UgdcConfig config, bool isDynamic)
    {
        using var scope = parameters.Scope();
        var enlarged = config.IsBilinear ? EnlargeBilinearly(deep) : Enlarge(deep, parameters["up"]);
        var joined = deep.Builder.Concat(1, skip, PadTo(enlarged, skip));
        parameters = parameters["conv.double_conv"];
        return isDynamic
            ? DynamicConv(joined, parameters, channels, config.DropPathRate)
            : DoubleConv(joined, parameters, channels, config.IsBilinear ? joined.Shape[1].Value / 2 : channels);
    }

    /// <summary>
    /// A global dynamic convolution with its residual sum, [N, C, H, W] to the same: the picture's own patches, of <c>patchSize</c> pixels
    /// a side, are the filters of a 1 x 1 convolution. Rows and columns that fill no patch give no filter.
    /// </summary>
    internal static Value GlobalDynamicConv(Value map, Parameters parameters, int patchSize, float dropPathRate)
    {
        using var scope = parameters.Scope();
        var channels = map.Shape[1].Value;
        var patches = map.Conv2d(parameters["patch"], channels, patchSize, stride: patchSize, group: channels);
        var (rows, columns) = (patches.Shape[2].Value, patches.Shape[3].Value);
        var differences = parameters.Get("diff", Initialization.TruncatedNormal(1, bound: 5), channels, rows, columns);
        var filters = (patches + differences).ToChannelsLast().LayerNorm(parameters["lnnorm"], LayerNormEpsilon).Gelu();
        var key = map.DepthwiseConv2d(parameters["convk"], kernel: 7);
        var projection = Initialization.FanIn(rows * columns);
        var output = GlobalDynamicConvolution.Apply(
            map, key, filters.Reshape(0, rows * columns, channels),
            parameters["conv1"].Get("weight", projection, channels, rows * columns, 1, 1).Reshape(channels, rows * columns),
            parameters.Get("bias", Initialization.Zeros, 1),
            parameters["conv1"].Get("bias", projection, channels));
        return dropPathRate == 0 ? output : map + DropPath.Apply(output - map, dropPathRate);
    }

    /// <summary>8-bit RGB, [N, H, W, 3], of pictures in the normalised domain, [N, 3, H, W].</summary>
    internal static Value ToImage(Value normalized)
    {
        var levels = (ToRgb(normalized) * 255) + 0.5;
        return levels.Apply("Floor").Clip(0, 255).ToChannelsLast().Cast(TensorElementType.UInt8);
    }

    /// <summary>Red, green and blue, in [0, 1] where nothing overflows, of pictures in the normalised domain.</summary>
    internal static Value ToRgb(Value normalized)
    {
        var builder = normalized.Builder;
        return (normalized * PerChannel(StandardDeviation)) + PerChannel(Mean);

        Value PerChannel(IReadOnlyList<float> values) => builder.Constant(Tensor.Create<float>([.. values], ChannelCount, 1, 1));
    }

    // A layer that the published code allocates and never uses is in its checkpoints.
    internal static WeightSource WithoutUnused(WeightSource weights) => weights.Replace(
        name => name is "ln.weight" or "ln.bias"
            || name.EndsWith(".ln.weight", StringComparison.Ordinal) || name.EndsWith(".ln.bias", StringComparison.Ordinal),
        new RandomWeights(0));

    private static Value DoubleConv(Value map, Parameters parameters, long channels, long? hiddenChannels = null)
    {
        using var scope = parameters.Scope();
        return map
            .Conv2d(parameters["0"], hiddenChannels ?? channels, kernel: 3, padding: 1, bias: false).BatchNorm(parameters["1"]).Apply("Relu")
            .Conv2d(parameters["3"], channels, kernel: 3, padding: 1, bias: false).BatchNorm(parameters["4"]).Apply("Relu");
    }

    private static Value DynamicConv(Value map, Parameters parameters, long channels, float dropPathRate)
    {
        using var scope = parameters.Scope();
        return GlobalDynamicConv(map, parameters["0"], PatchSize, dropPathRate).BatchNorm(parameters["1"]).Apply("Relu")
            .Conv2d(parameters["3"], channels, kernel: 3, padding: 1, bias: false).BatchNorm(parameters["4"]).Apply("Relu");
    }

    private static Value Halve(Value map) => map.Builder.Op("MaxPool", [map], new()
    {
        ["kernel_shape"] = new long[] { 2, 2 },
        ["strides"] = new long[] { 2, 2 },
    });

    private static Value Enlarge(Value map, Parameters parameters)
    {
        var (channels, outputs) = (map.Shape[1].Value, map.Shape[1].Value / 2);
        var initialization = Initialization.FanIn(outputs * 4);
        return map.Builder.Op("ConvTranspose",
        [
            map,
            parameters.Get("weight", initialization, channels, outputs, 2, 2),
            parameters.Get("bias", initialization, outputs),
        ], new() { ["kernel_shape"] = new long[] { 2, 2 }, ["strides"] = new long[] { 2, 2 } });
    }

    private static Value EnlargeBilinearly(Value map)
    {
        var builder = map.Builder;
        var scales = builder.Constant(Tensor.Create<float>([1, 1, 2, 2], 4));
        return builder.Op("Resize", [map, null, scales], new()
        {
            ["mode"] = "linear",
            ["coordinate_transformation_mode"] = "align_corners",
        });
    }

    private static Value PadTo(Value map, Value target)
    {
        var (rows, columns) = (target.Shape[2].Value - map.Shape[2].Value, target.Shape[3].Value - map.Shape[3].Value);
        return rows == 0 && columns == 0
            ? map
            : map.Pad(0, 0, rows / 2, columns / 2, 0, 0, rows - (rows / 2), columns - (columns / 2));
    }
}
