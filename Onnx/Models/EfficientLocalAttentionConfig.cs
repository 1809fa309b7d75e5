using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The hyper-parameters of an efficient local attention (ELA), which has <c>C</c> (<see cref="ChannelsPerGroup"/>
/// <see cref="Kernel"/> + 2) parameters at a width of C.
/// <para>Source: Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024 (arXiv 2403.01123),
/// repository Xuwei86/ELA_Code.</para>
/// </summary>
public sealed record EfficientLocalAttentionConfig
{
    /// <summary>The published variants, smallest first: <c>ela_t</c>, <c>ela_b</c>, <c>ela_s</c>, <c>ela_l</c>.</summary>
    public static IReadOnlyDictionary<string, EfficientLocalAttentionConfig> Variants { get; } =
        new Dictionary<string, EfficientLocalAttentionConfig>
        {
            ["ela_t"] = new() { Kernel = 5, ChannelsPerGroup = 1, NormGroups = 32 },
            ["ela_b"] = new() { Kernel = 7, ChannelsPerGroup = 1, NormGroups = 16 },
            ["ela_s"] = new() { Kernel = 5, ChannelsPerGroup = 8, NormGroups = 16 },
            ["ela_l"] = new() { Kernel = 7, ChannelsPerGroup = 8, NormGroups = 16 },
        }.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    /// <summary>The size of the one-dimensional convolution, odd.</summary>
    public required int Kernel { get; init; }

    /// <summary>The number of channels that each channel of the convolution sees; divides the width.</summary>
    public required int ChannelsPerGroup { get; init; }

    /// <summary>The number of groups of the group normalisation; divides the width.</summary>
    public required int NormGroups { get; init; }

    /// <summary>[N, C, H, W] to the same; parameters <c>conv.weight</c>, <c>gn.weight</c>, <c>gn.bias</c>.</summary>
    /// <exception cref="ArgumentException">The hyper-parameters do not fit the map.</exception>
    internal Value Apply(Value map, Parameters parameters)
    {
        Check(map.Shape, parameters.Path);
        using var scope = parameters.Scope();
        var channels = map.Shape[1].Value;
        return EfficientLocalAttention.Apply(
            map,
            parameters["conv"].Get("weight", Initialization.FanIn(ChannelsPerGroup * Kernel), channels, ChannelsPerGroup, Kernel),
            parameters["gn"].Get("weight", Initialization.Ones, channels),
            parameters["gn"].Get("bias", Initialization.Zeros, channels),
            NormGroups);
    }

    private void Check(Shape map, string module)
    {
        if (Kernel < 1 || Kernel % 2 == 0)
            throw new ArgumentException($"{module}: the kernel of efficient local attention is {Kernel}; it must be odd.");
        foreach (var (part, name) in new[] { (ChannelsPerGroup, nameof(ChannelsPerGroup)), (NormGroups, nameof(NormGroups)) })
        {
            if (part < 1 || map[1].Value % part != 0)
            {
                throw new ArgumentException(
                    $"{module}: efficient local attention with {name} {part} cannot be put on {map[1]} channels; take a multiple of {part}.");
            }
        }
        if (map[1].Value == NormGroups && (map[2] == 1 || map[3] == 1))
        {
            throw new ArgumentException(
                $"{module}: a map of {map[2]} x {map[3]} with {map[1]} channels leaves one value to each of the {NormGroups} groups of the "
                + "normalisation, which then ignores it; take fewer groups, more channels or a larger map.");
        }
    }
}
