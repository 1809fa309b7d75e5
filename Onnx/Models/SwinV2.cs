using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="SwinV2"/>. Lists have one entry a stage.</summary>
public sealed record SwinV2Config
{
    /// <summary>The number of channels of the first stage; each later stage has twice as many.</summary>
    public required int Width { get; init; }

    /// <summary>The number of blocks.</summary>
    public required IReadOnlyList<int> Depths { get; init; }

    /// <summary>The number of attention heads.</summary>
    public required IReadOnlyList<int> HeadCounts { get; init; }

    /// <summary>The side of a window in positions; windows keep it on maps smaller than that, which are padded.</summary>
    public int WindowSize { get; init; } = 16;

    /// <summary>The side of the windows that the weights were pre-trained with, which scales the relative positions.</summary>
    public required IReadOnlyList<int> PretrainedWindowSizes { get; init; }

    /// <summary>Whether the blocks attend to the whole map instead of windows.</summary>
    public IReadOnlyList<bool> IsGlobal { get; init; } = [false, false, false, false];

    /// <summary>The width of the hidden layer of the MLPs, as a multiple of the stage's.</summary>
    public int MlpRatio { get; init; } = 4;

    /// <summary>The side of a patch in pixels.</summary>
    public int PatchSize { get; init; } = 4;

    /// <summary>The number of channels of the image.</summary>
    public int InputChannels { get; init; } = 3;

    /// <summary>
    /// The probability, below 1, at which the last block's branches are left out while the model is trained; those of the blocks before
    /// it rise evenly from 0. What a trained model computes does not depend on it.
    /// </summary>
    public float DropPathRate { get; init; }

    internal int StageCount => Depths.Count;

    internal int WidthOf(int stage) => Width << stage;

    internal float DropPathProbability(int stage, int block) =>
        DropPathRate * (Depths.Take(stage).Sum() + block) / Math.Max(1, Depths.Sum() - 1);

    internal void Validate()
    {
        foreach (var (name, count) in new[]
        {
            (nameof(HeadCounts), HeadCounts.Count), (nameof(PretrainedWindowSizes), PretrainedWindowSizes.Count),
            (nameof(IsGlobal), IsGlobal.Count),
        })
        {
            if (count != StageCount)
                throw new ArgumentException($"SwinV2Config.{name} has {count} entries for {StageCount} stages.");
        }
        for (var stage = 0; stage < StageCount; stage++)
        {
            if (WidthOf(stage) % HeadCounts[stage] != 0)
                throw new ArgumentException(
                    $"SwinV2Config.HeadCounts has {HeadCounts[stage]} in stage {stage}; it must divide its {WidthOf(stage)} channels.");
            if (PretrainedWindowSizes[stage] < 2)
                throw new ArgumentException(
                    $"SwinV2Config.PretrainedWindowSizes has {PretrainedWindowSizes[stage]} in stage {stage}; the least is 2.");
        }
    }
}

/// <summary>
/// Swin Transformer V2 as a backbone: cosine attention in shifted windows, with a position bias from an MLP of logarithmic relative
/// coordinates, normalised after each branch. Stages may attend to the whole map.
/// <para>Source: Liu et al., "Swin Transformer V2: Scaling Up Capacity and Resolution", CVPR 2022 (arXiv 2111.09883), with the global
/// blocks of Lin et al., "DETR Does Not Need Multi-Scale or Locality Design", ICCV 2023 (arXiv 2308.01904), repository
/// impiga/Plain-DETR.</para>
/// </summary>
internal static class SwinV2
{
    private const float LayerNormEpsilon = 1e-6f;
    private const int BiasMlpWidth = 512;

    // The largest relative coordinate within a pre-training window.
    private const double CoordinateRange = 8;
    private const double BiasBound = 16;

    /// <summary>The map of the last stage: [N, channels, H, W] to [N, width, H / 32, W / 32], rounded up.</summary>
    public static Value Features(Value image, SwinV2Config config, Parameters parameters)
    {
        config.Validate();
        using var scope = parameters.Scope();
        var map = PadToMultiple(image, firstAxis: 2, config.PatchSize)
            .Conv2d(parameters["patch_embed.proj"], config.Width, config.PatchSize, config.PatchSize).ToChannelsLast()
            .LayerNorm(parameters["patch_embed.norm"], LayerNormEpsilon);
        for (var stage = 0; stage < config.StageCount; stage++)
        {
            for (var block = 0; block < config.Depths[stage]; block++)
                map = Block(map, config, stage, block, parameters[$"layers.{stage}.blocks.{block}"]);
            if (stage < config.StageCount - 1)
                map = MergePatches(map, parameters[$"layers.{stage}.downsample"]);
        }
        return map.LayerNorm(parameters[$"norm{config.StageCount - 1}"], LayerNormEpsilon).ToChannelsFirst();
    }

    private static Value Block(Value map, SwinV2Config config, int stage, int block, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var attended = config.IsGlobal[stage]
            ? GlobalAttention(map, config, stage, parameters["attn"])
            : WindowAttention(map, config, stage, isShifted: block % 2 == 1, parameters["attn"]);
        map += Branch(attended, "norm1");
        var width = config.WidthOf(stage);
        return map + Branch(
            map.Linear(parameters["mlp.fc1"], width * config.MlpRatio).Gelu().Linear(parameters["mlp.fc2"], width), "norm2");

        // Branches start at zero, as published.
        Value Branch(Value value, string norm)
        {
            var scale = parameters[norm].Get("weight", Initialization.Zeros, value.Shape[-1].Value);
            var bias = parameters[norm].Get("bias", Initialization.Zeros, value.Shape[-1].Value);
            return DropPath.Apply(value.LayerNormalization(scale, bias, LayerNormEpsilon), config.DropPathProbability(stage, block));
        }
    }

    private static Value GlobalAttention(Value map, SwinV2Config config, int stage, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var bias = PositionBias(map.ShapeOf(1, 3), config, stage, parameters);
        return Attention(map.Reshape(0, -1, config.WidthOf(stage)), bias, null, config.HeadCounts[stage], parameters).ReshapeLike(map);
    }

    private static Value WindowAttention(Value map, SwinV2Config config, int stage, bool isShifted, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (builder, size) = (map.Builder, config.WindowSize);
        var shift = isShifted ? size / 2 : 0;
        var windows = WindowPartition.Apply(map, size, shift);
        var bias = PositionBias(builder.Int64(size, size), config, stage, parameters);
        var counts = (map.ShapeOf(1, 3) + builder.Int64(size - 1)) / builder.Int64(size);
        var marks = isShifted ? RegionMarks(counts, size) : null;
        return WindowMerge.Apply(Attention(windows, bias, marks, config.HeadCounts[stage], parameters), map, size, shift);
    }

    // Cosine attention within each sequence of tokens [B, T, C], with a bias [heads, T, T]. Marks [windows, T, M] of the sequences of each
    // image keep tokens apart.
    private static Value Attention(Value tokens, Value bias, Value? marks, int headCount, Parameters parameters)
    {
        var builder = tokens.Builder;
        var width = tokens.Shape[2].Value;
        var projection = parameters["qkv"].Get("weight", Initialization.TruncatedNormal(), 3 * width, width);
        var projectionBias = builder.Concat(
            0,
            parameters.Get("q_bias", Initialization.Zeros, width),
            builder.Constant(Tensor.Create<float>(new float[width], width)),
            parameters.Get("v_bias", Initialization.Zeros, width));
        var packed = tokens.MatMul(projection.Transpose(1, 0)) + projectionBias;
        var logScale = parameters.Get("logit_scale", Initialization.Constant(MathF.Log(10)), headCount, 1, 1);
        var scale = builder.Op("Min", [logScale, builder.Scalar(Math.Log(100), logScale)]).Apply("Exp").Reshape(headCount);
        var attended = marks is null
            ? CosineSelfAttention.Apply(packed, scale, bias, headCount)
            : CosineWindowAttention.Apply(packed, scale, bias, marks, headCount);
        return attended.Linear(parameters["proj"], width);
    }

    /// <summary>The bias of all pairs of positions of a map of the given height and width: [heads, H W, H W].</summary>
    private static Value PositionBias(Value sizes, SwinV2Config config, int stage, Parameters parameters)
    {
        var builder = sizes.Builder;
        var (height, width) = (Scalar(sizes, 0), Scalar(sizes, 1));
        var one = builder.Constant(Tensor.Scalar(1L));
        var reach = config.PretrainedWindowSizes[stage] - 1;
        var (vertical, horizontal) = (Coordinates(height).Unsqueeze(1, 2), Coordinates(width).Unsqueeze(0, 2));
        var plane = builder.Concat(0, vertical.ShapeOf(0, 1), horizontal.ShapeOf(1, 2), builder.Int64(1));
        var table = builder.Concat(2, vertical.Expand(plane), horizontal.Expand(plane)).Reshape(-1, 2)
            .Linear(parameters["cpb_mlp.0"], BiasMlpWidth).Apply("Relu")
            .Linear(parameters["cpb_mlp.2"], config.HeadCounts[stage], bias: false).Apply("Sigmoid") * BiasBound;

        // Row of the table for query i and key j: that of the difference of their rows and columns.
        var down = Differences(height) * (width + width - one);
        var index = down.Unsqueeze(1, 3) + Differences(width).Unsqueeze(0, 2);
        var count = builder.Concat(0, (height * width).Reshape(1), (height * width).Reshape(1));
        // In single precision, in which the many gradients of each row are added up.
        return table.Cast(TensorElementType.Float).Gather(index.Reshape(count)).Transpose(2, 0, 1);

        // Of the differences from 1 - size to size - 1, on a logarithmic scale.
        Value Coordinates(Value size)
        {
            var differences = builder.Op("Range", [one - size, size, one]).Cast(TensorElementType.Float);
            var scaled = differences / reach * CoordinateRange;
            return scaled.Apply("Sign") * (scaled.Apply("Abs") + 1).Apply("Log") / Math.Log(CoordinateRange);
        }

        // i - j + size - 1 for all i and j below size.
        Value Differences(Value size)
        {
            var positions = builder.Op("Range", [one - one, size, one]);
            return positions.Unsqueeze(1) - positions.Unsqueeze(0) + (size - one);
        }
    }

    /// <summary>
    /// Marks of what belongs together in the windows of a rolled map, in one-hot code: [windows, T, 4]. In the last row and column of
    /// windows the second half was not adjacent to the first before.
    /// </summary>
    private static Value RegionMarks(Value counts, int size)
    {
        var builder = counts.Builder;
        var (rows, columns) = (Halves(Scalar(counts, 0)), Halves(Scalar(counts, 1)));
        // [rows, columns, size, size, 2, 2]
        return (rows.Unsqueeze(1, 3, 5) * columns.Unsqueeze(0, 2, 4)).Reshape(-1, size * size, 4);

        // One-hot code of the half: [windows, size, 2]
        Value Halves(Value count)
        {
            var (zero, one) = (builder.Constant(Tensor.Scalar(0L)), builder.Constant(Tensor.Scalar(1L)));
            var isLast = builder.Op("Equal", [builder.Op("Range", [zero, count, one]), count - one]).Cast(TensorElementType.Float);
            var isSecond = Enumerable.Range(0, size).Select(i => i < size - (size / 2) ? 0f : 1f).ToArray();
            var apart = (isLast.Unsqueeze(1) * builder.Constant(Tensor.Create<float>(isSecond, 1, size))).Unsqueeze(2);
            return builder.Concat(2, 1 - apart, apart);
        }
    }

    private static Value MergePatches(Value map, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = map.Shape[3].Value;
        var builder = map.Builder;
        var padded = PadToMultiple(map, firstAxis: 1, 2);
        var counts = padded.ShapeOf(1, 3) / builder.Int64(2);
        var split = builder.Concat(
            0, builder.Int64(0), Axis(counts, 0), builder.Int64(2), Axis(counts, 1), builder.Int64(2, width));
        // The published order of the four: down first, then right.
        var merged = builder.Concat(0, builder.Int64(0), counts, builder.Int64(4 * width));
        return padded.Reshape(split).Transpose(0, 1, 3, 4, 2, 5).Reshape(merged)
            .Linear(parameters["reduction"], 2 * width, bias: false).LayerNorm(parameters["norm"], LayerNormEpsilon);
    }

    /// <summary>Pads two neighbouring axes with zeros at their ends.</summary>
    private static Value PadToMultiple(Value map, int firstAxis, long multiple)
    {
        var builder = map.Builder;
        var (sizes, divisor) = (map.ShapeOf(firstAxis, firstAxis + 2), builder.Int64(multiple));
        var missing = builder.Op("Mod", [divisor - builder.Op("Mod", [sizes, divisor]), divisor]);
        if (missing.Info.Content is { IsStatic: true } known && known.All(count => count == 0))
            return map;
        return builder.Op(
            "Pad", [map, builder.Concat(0, builder.Int64(0, 0), missing), null, builder.Int64(firstAxis, firstAxis + 1)]);
    }

    private static Value Axis(Value sizes, int index) => sizes.Slice(0, index, index + 1);

    private static Value Scalar(Value sizes, int index) => sizes.Gather(sizes.Builder.Constant(Tensor.Scalar((long)index)));
}
