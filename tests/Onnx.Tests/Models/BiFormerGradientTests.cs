using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>Every layout and option can be trained.</summary>
public class BiFormerGradientTests
{
    private static readonly BiFormerConfig Mini = new()
    {
        Depths = [1, 1], Widths = [16, 32], MlpRatios = [2, 2], HeadWidth = 16, StemStride = 2,
        WindowCounts = [4, 4], TopKs = [2, -2], ClassCount = 5,
    };

    public static TheoryData<string> Names => [.. Configs.Keys];

    private static Dictionary<string, BiFormerConfig> Configs => new()
    {
        ["published"] = Mini,
        ["padded"] = Mini with { AutoPad = true, WindowCounts = [3, 3], TopKs = [2, 3] },
        ["post-norm, layer scale, convolutions"] = Mini with { PreNorm = false, LayerScale = 0.5f, MlpConvolution = true, TopKs = [0, -1] },
        ["soft routing"] = Mini with { SoftRouting = true, DifferentiableRouting = true, RoutingProjection = true },
        ["pooled keys"] = Mini with { KeyValuePooling = KeyValuePooling.AdaptiveAverage, KeyValueBins = [1, 1] },
        ["largest keys"] = Mini with { KeyValuePooling = KeyValuePooling.Max, KeyValueStrides = [2, 2] },
        ["Swin-T layout"] = Mini with { Layout = BiFormerLayout.SwinTiny },
        ["Swin-T layout, channels first"] = Mini with { Layout = BiFormerLayout.SwinTinyChannelsFirst },
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_parameter_has_a_gradient(string name)
    {
        const int Size = 16;
        ParameterGradients.AssertAll(
            BiFormer.Build(Configs[name], new RandomWeights(1), Size, Size), RandomTensor.Float(1, 2, 3, Size, Size));
    }
}
