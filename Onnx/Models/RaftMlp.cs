using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>Which tokens a <see cref="RaftMlp"/> mixes at once.</summary>
public enum RaftMlpMixing
{
    /// <summary>Columns, then rows, a few channels together (<c>ser_pm</c>).</summary>
    Raft,

    /// <summary>All of them, as MLP-Mixer does (<c>original_tm</c>).</summary>
    Full,
}

/// <summary>One level of a <see cref="RaftMlp"/>: a patch embedding and blocks.</summary>
/// <param name="Depth">The number of blocks.</param>
/// <param name="Width">The number of channels.</param>
/// <param name="PatchSize">The side of the squares of the level's input that become one token each.</param>
public sealed record RaftMlpLevel(int Depth, int Width, int PatchSize)
{
    /// <summary>The number of channels that are mixed together; divides <see cref="Width"/>.</summary>
    public int RaftSize { get; init; } = 2;

    /// <summary>
    /// The sides of the squares around each patch that its token is made from (<c>emb_cross_mlp</c>), of which the least is
    /// <see cref="PatchSize"/>; null for the patch alone, as in MLP-Mixer (<c>emb_mixer</c>).
    /// </summary>
    public IReadOnlyList<int>? EmbeddingKernels { get; init; }
}

/// <summary>The hyper-parameters of a <see cref="RaftMlp"/>.</summary>
public sealed record RaftMlpConfig : ImageClassifierConfig
{
    /// <summary>Starts from what the published models have in common.</summary>
    public RaftMlpConfig() => Input = new() { IsBicubic = false };

    /// <summary>The levels, from the picture on.</summary>
    public required IReadOnlyList<RaftMlpLevel> Levels { get; init; }

    /// <summary>
    /// The side in pixels of the square images whose grids of tokens the mixing weights are made for. Around the mixing of other images'
    /// tokens their grids are resized to these, bicubically.
    /// </summary>
    public int TrainedSize { get; init; } = 224;

    /// <summary>Which tokens are mixed at once.</summary>
    public RaftMlpMixing Mixing { get; init; }

    /// <summary>The width of the hidden layer that mixes tokens, as a multiple of what it mixes.</summary>
    public int TokenExpansion { get; init; } = 2;

    /// <summary>The width of the hidden layer that mixes channels, as a multiple of the level's.</summary>
    public int ChannelExpansion { get; init; } = 4;

    /// <summary>Whether the means of the levels before the last scale and shift that of the last; in no published model.</summary>
    public bool Shortcut { get; init; }

    /// <inheritdoc/>
    public override int LayerCount => Levels.Sum(level => level.Depth) + 2;

    /// <inheritdoc/>
    public override OnnxModel Build(WeightSource weights, int? height = null, int? width = null) =>
        RaftMlp.Build(this, weights, height, width);

    /// <inheritdoc/>
    public override bool IsHead(string parameter) => parameter.StartsWith("classifier.", StringComparison.Ordinal);

    /// <inheritdoc/>
    public override int LayerOf(string parameter)
    {
        var path = parameter.Split('.');
        if (path[0] != "levels")
            return LayerCount - 1;
        var before = Levels.Take(int.Parse(path[1], CultureInfo.InvariantCulture)).Sum(level => level.Depth);
        return before + Math.Max(0, int.Parse(path[3], CultureInfo.InvariantCulture) - RaftMlp.FirstBlock + 1);
    }

    /// <inheritdoc/>
    public override bool Decays(string parameter, int rank) => true;

    /// <summary>The sides of the trained grids of the levels.</summary>
    internal IReadOnlyList<int> TrainedGrids()
    {
        var (side, grids) = (TrainedSize, new List<int>());
        foreach (var level in Levels)
            grids.Add(side = (side + level.PatchSize - 1) / level.PatchSize);
        return grids;
    }

    internal void Validate()
    {
        Check(Levels.Count > 0, nameof(Levels), "has no level");
        Check(TrainedSize > 0, nameof(TrainedSize), $"is {TrainedSize}; it must be positive");
        Check(TokenExpansion > 0, nameof(TokenExpansion), $"is {TokenExpansion}; it must be positive");
        Check(ChannelExpansion > 0, nameof(ChannelExpansion), $"is {ChannelExpansion}; it must be positive");
        Check(DropPathRate is >= 0 and < 1, nameof(DropPathRate), $"is {DropPathRate}; it must be at least 0 and below 1");
        for (var i = 0; i < Levels.Count; i++)
        {
            var level = Levels[i];
            var name = $"{nameof(Levels)}[{i}]";
            Check(level.PatchSize > 0, $"{name}.{nameof(level.PatchSize)}", $"is {level.PatchSize}; it must be positive");
            Check(level.RaftSize > 0 && level.Width % level.RaftSize == 0, $"{name}.{nameof(level.RaftSize)}",
                $"is {level.RaftSize}; it must divide the width, {level.Width}");
            var kernels = level.EmbeddingKernels ?? [level.PatchSize];
            Check(kernels.Count > 0 && kernels.Min() == level.PatchSize && kernels.All(kernel => (kernel - level.PatchSize) % 2 == 0),
                $"{name}.{nameof(level.EmbeddingKernels)}",
                $"are {string.Join(", ", kernels)}; the least must be the patch size, {level.PatchSize}, "
                + "and the others differ from it by even numbers");
        }
    }

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"RaftMlpConfig.{property} {reason}.");
    }
}

/// <summary>
/// RaftMLP, a model of MLPs that mix the tokens of columns and rows, for the classification of images and as a backbone; with
/// <see cref="RaftMlpMixing.Full"/> it is MLP-Mixer. Parameters have the names of the official checkpoints, which load as they are.
/// <para>Source: Tatsunami and Taki, "RaftMLP: How Much Can Be Done Without Attention and with Less Spatial Locality?", ACCV 2022
/// (arXiv 2108.04384), repository okojoalg/raft-mlp.</para>
/// </summary>
public static class RaftMlp
{
    /// <summary>The number of a level's first block in the names of parameters.</summary>
    internal const int FirstBlock = 2;

    private const float LayerNormEpsilon = 1e-5f;

    /// <summary>
    /// The published models; those of the ablation study, <c>raftmlp_12_r1</c> and so on; the MLP-Mixer that they are compared with; and
    /// <c>raftmlp_nano</c>, a small one of ours for images of about 32 x 32.
    /// </summary>
    public static IReadOnlyDictionary<string, RaftMlpConfig> Variants { get; } = new Dictionary<string, RaftMlpConfig>
    {
        ["raftmlp_s"] = Hierarchy(64, 128, 256, 512),
        ["raftmlp_m"] = Hierarchy(96, 192, 384, 768),
        ["raftmlp_l"] = Hierarchy(128, 192, 512, 1024),
        ["raftmlp_12"] = Isotropic(12, 768, raftSize: 4),
        ["raftmlp_12_r1"] = Isotropic(12, 768, raftSize: 1),
        ["raftmlp_12_r2"] = Isotropic(12, 768, raftSize: 2),
        ["raftmlp_12_r2_k16_32"] = new() { Levels = [new(12, 768, 16) { EmbeddingKernels = [16, 32] }] },
        ["raftmlp_36_r2"] = Isotropic(36, 384, raftSize: 2),
        ["raftmlp_m_plain"] = new() { Levels = [new(2, 96, 4), new(2, 192, 2), new(6, 384, 2), new(2, 768, 2)] },
        ["raftmlp_org_mixer"] = Isotropic(12, 768, raftSize: 1) with { Mixing = RaftMlpMixing.Full },
        ["raftmlp_cifar"] = new()
        {
            ClassCount = 10,
            Input = new() { IsBicubic = false, Size = 32, CropFraction = 1 },
            Levels =
            [
                new(2, 128, 2) { RaftSize = 4, EmbeddingKernels = [2, 4, 8] },
                new(2, 256, 2) { RaftSize = 4, EmbeddingKernels = [2, 4] },
            ],
        },
        ["raftmlp_nano"] = new()
        {
            TrainedSize = 28,
            Input = new() { IsBicubic = false, Size = 28, CropFraction = 1 },
            Levels =
            [
                new(3, 64, 2) { RaftSize = 4, EmbeddingKernels = [2, 4, 8] },
                new(4, 128, 2) { RaftSize = 4, EmbeddingKernels = [2, 4] },
            ],
        },
    }.ToFrozenDictionary();

    /// <summary>Builds a classifier: input <c>x</c> [N, C, H, W], output <c>logits</c> [N, classes].</summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="height">The height of the images; null for any, which costs a bicubic resizing around all mixing of tokens.</param>
    /// <param name="width">The width of the images; null for any.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(RaftMlpConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var (parameters, image) = Start(config, weights, height, width);
        var outputs = new List<Value>();
        for (var (map, level) = (image, 0); level < config.Levels.Count; level++)
        {
            outputs.Add(Level(map, config, level, parameters));
            map = outputs[^1].ToChannelsFirst();
        }
        image.Builder.Output("logits", Features(outputs, config, parameters).Linear(parameters["classifier"], config.ClassCount));
        parameters.ThrowIfUnfit();
        return image.Builder.ToModel();
    }

    /// <summary>
    /// Builds a backbone for dense prediction: input <c>x</c> [N, C, H, W]; outputs <c>f0</c>, <c>f1</c>, ... [N, width, H / 4, W / 4] and
    /// so on. As published, the first is the embedding of the first level before its blocks, the others are the outputs of the levels
    /// behind it; a model of one level gives its embedding, the outputs of its blocks 4 and 10 where it has them, and its output.
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildBackbone(RaftMlpConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var (parameters, map) = Start(config, weights, height, width);
        var maps = new List<Value>();
        for (var level = 0; level < config.Levels.Count; level++)
        {
            var (isFirst, isOnly) = (level == 0, config.Levels.Count == 1);
            map = Level(map, config, level, parameters, (block, tokens) =>
            {
                if ((isFirst && block == 0) || (isOnly && block is 4 or 10 && block < config.Levels[0].Depth))
                    maps.Add(tokens.ToChannelsFirst());
            }).ToChannelsFirst();
            if (!isFirst || isOnly)
                maps.Add(map);
        }
        for (var i = 0; i < maps.Count; i++)
            map.Builder.Output($"f{i}", maps[i]);
        parameters.ThrowIfUnfit();
        return map.Builder.ToModel();
    }

    /// <summary>The tokens of an image or map: [N, C, H, W] to [N, H / patch, W / patch, width].</summary>
    internal static Value Embedding(Value map, RaftMlpLevel level, Parameters parameters)
    {
        var inputs = map.Shape[1].Value;
        var kernels = level.EmbeddingKernels ?? [level.PatchSize];
        using var scope = parameters.Scope();
        var features = inputs * kernels.Sum(kernel => kernel * kernel);
        var initialization = Initialization.FanIn(features);
        var weight = parameters.Get("weight", initialization, level.Width, features);
        weight = level.EmbeddingKernels is null
            ? weight.Reshape(level.Width, level.PatchSize, level.PatchSize, inputs).ToChannelsFirst()
            : Merge(weight, kernels, level.Width, inputs);
        var bias = parameters.Get("bias", initialization, level.Width);
        return map.Conv2d(weight, bias, level.PatchSize, (kernels.Max() - level.PatchSize) / 2).ToChannelsLast();
    }

    /// <summary>One block, [N, H, W, C] to the same; its tokens are mixed on a grid of the trained sizes.</summary>
    internal static Value Block(Value tokens, RaftMlpConfig config, int raftSize, (int Height, int Width) trained, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var isTrained = tokens.Shape[1] == trained.Height && tokens.Shape[2] == trained.Width;
        var grid = isTrained ? tokens : Resize(tokens, tokens.Builder.Int64(trained.Height), tokens.Builder.Int64(trained.Width));
        if (config.Mixing == RaftMlpMixing.Full)
        {
            grid = MixColumns(grid, trained.Height * trained.Width, 1, config, raftSize: 1, parameters["1"]);
        }
        else
        {
            grid = MixColumns(grid, trained.Height, trained.Width, config, raftSize, parameters["1"]);
            grid = MixColumns(grid, trained.Width, 1, config, raftSize, parameters["3"]);
        }
        tokens = isTrained ? grid : Resize(grid, Side(tokens, 1), Side(tokens, 2));

        parameters = parameters[config.Mixing == RaftMlpMixing.Full ? "3" : "5"];
        using var channels = parameters.Scope();
        var width = tokens.Shape[3].Value;
        var branch = Linear(tokens.LayerNorm(parameters["norm"], LayerNormEpsilon), parameters["fn.0"], width * config.ChannelExpansion);
        return tokens + DropPath.Apply(Linear(branch.Gelu(), parameters["fn.3"], width), config.DropPathRate);
    }

    private static RaftMlpConfig Hierarchy(params ReadOnlySpan<int> widths) => new()
    {
        Levels =
        [
            new(2, widths[0], 4) { EmbeddingKernels = [4, 8] },
            new(2, widths[1], 2) { EmbeddingKernels = [2, 4] },
            new(6, widths[2], 2) { EmbeddingKernels = [2, 4] },
            new(2, widths[3], 2) { EmbeddingKernels = [2] },
        ],
    };

    private static RaftMlpConfig Isotropic(int depth, int width, int raftSize) =>
        new() { Levels = [new(depth, width, 16) { RaftSize = raftSize }] };

    private static (Parameters Parameters, Value Image) Start(RaftMlpConfig config, WeightSource weights, int? height, int? width)
    {
        config.Validate();
        var builder = new GraphBuilder("raftmlp");
        var image = builder.Input("x", TensorElementType.Float, ["N", config.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]);
        return (new(builder, weights), image);
    }

    // [N, C, H, W] to tokens [N, H / patch, W / patch, width]; `visit` sees what goes into each block, by the block's number.
    private static Value Level(
        Value map, RaftMlpConfig config, int number, Parameters parameters, Action<int, Value>? visit = null)
    {
        var level = config.Levels[number];
        var side = config.TrainedGrids()[number];
        parameters = parameters[$"levels.{number}.fn"];
        using var scope = parameters.Scope();
        var linear = parameters[level.EmbeddingKernels is null ? "1" : "0.fc"];
        var tokens = Embedding(ToWholePatches(map, level.PatchSize), level, linear);
        for (var block = 0; block < level.Depth; block++)
        {
            visit?.Invoke(block, tokens);
            tokens = Block(tokens, config, level.RaftSize, (side, side), parameters[$"{FirstBlock + block}"]);
        }
        return tokens;
    }

    // The mean token of the last level, [N, width], scaled and shifted by those of the levels before it where there are shortcuts.
    private static Value Features(List<Value> levels, RaftMlpConfig config, Parameters parameters)
    {
        parameters = parameters["heads"];
        using var scope = parameters.Scope();
        var last = levels.Count - 1;
        var width = config.Levels[last].Width;
        if (!config.Shortcut)
            return Mean(levels[last], parameters["0"]);
        var features = Mean(levels[last], parameters[$"{last}"]);
        for (var level = last - 1; level >= 0; level--)
        {
            var parts = Linear(Mean(levels[level], parameters[$"{level}"]), parameters[$"{level}.4"], 2 * width).Split(1, width, width);
            features = (parts[0] * features) + parts[1];
        }
        return features;

        static Value Mean(Value tokens, Parameters head) => tokens.LayerNorm(head["1"], LayerNormEpsilon).ReduceMean([1, 2]);
    }

    // One kernel in place of several around the same centre: the smaller ones' weights are added to the middle of the largest.
    private static Value Merge(Value weight, IReadOnlyList<int> kernels, long width, long inputs)
    {
        var (start, merged) = (0L, (Value?)null);
        foreach (var kernel in kernels)
        {
            var end = start + (inputs * kernel * kernel);
            var part = (kernels.Count == 1 ? weight : weight.Slice(1, start, end)).Reshape(width, inputs, kernel, kernel);
            long border = (kernels.Max() - kernel) / 2;
            if (border > 0)
                part = part.Pad(0, 0, border, border, 0, 0, border, border);
            merged = merged is null ? part : merged + part;
            start = end;
        }
        return merged!;
    }

    // Mixes the columns of a grid [N, H, W, C] that is seen as columns of that height in rows of that width.
    private static Value MixColumns(Value grid, long height, long width, RaftMlpConfig config, int raftSize, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var channels = grid.Shape[3].Value;
        var isSeenAnew = grid.Shape[1] != height || grid.Shape[2] != width;
        var columns = isSeenAnew ? grid.Reshape(-1, height, width, channels) : grid;
        var (mixed, hidden) = (height * raftSize, height * raftSize * config.TokenExpansion);
        var norm = parameters["norm.1"];
        var result = RaftMixing.Apply(
            columns,
            (norm.Get("weight", Initialization.Ones, channels), norm.Get("bias", Initialization.Zeros, channels)),
            LinearMap(parameters["fn.0"], mixed, hidden),
            LinearMap(parameters["fn.3"], hidden, mixed),
            Keep(grid, grid.Shape[1].Value * grid.Shape[2].Value / (height * width), config.DropPathRate), raftSize, LayerNormEpsilon);
        return isSeenAnew ? result.Reshape(grid.ShapeOf()) : result;
    }

    // What the branch of each example is multiplied by, once for each of its parts.
    private static Value Keep(Value grid, long parts, float dropPathRate)
    {
        var builder = grid.Builder;
        var one = builder.Constant(Tensor.Scalar(1f));
        if (dropPathRate == 0)
            return one;
        var keep = DropPath.Apply(one.Expand(grid.ShapeOf(0, 1)), dropPathRate);
        return parts == 1 ? keep : keep.Unsqueeze(1).Expand(builder.Int64(1, parts)).Reshape(-1);
    }

    private static (Value Weight, Value Bias) LinearMap(Parameters parameters, long inputs, long outputs)
    {
        var initialization = Initialization.FanIn(inputs);
        return (parameters.Get("weight", initialization, outputs, inputs), parameters.Get("bias", initialization, outputs));
    }

    // [N, C, H, W] with both sides brought to multiples of the patch.
    private static Value ToWholePatches(Value map, int patch)
    {
        var (height, width) = (Side(map, 2), Side(map, 3));
        if (Bicubic(height, Whole(height)) is { } rows)
            map = rows.MatMul(map);
        if (Bicubic(width, Whole(width)) is { } columns)
            map = map.MatMul(columns.Transpose(1, 0));
        return map;

        Value Whole(Value side)
        {
            var unit = side.Builder.Int64(patch);
            return (side + side.Builder.Int64(patch - 1)) / unit * unit;
        }
    }

    // [N, H, W, C] to other sides.
    private static Value Resize(Value tokens, Value height, Value width)
    {
        var builder = tokens.Builder;
        var rows = Bicubic(Side(tokens, 1), height);
        if (Bicubic(Side(tokens, 2), width) is { } columns)
            tokens = columns.MatMul(tokens);
        return rows is null
            ? tokens
            : rows.MatMul(tokens.Reshape(0, 0, -1))
                .Reshape(builder.Concat(0, builder.Int64(0, 0), width, builder.Int64(tokens.Shape[3].Value)));
    }

    private static Value Side(Value map, int axis) =>
        map.Shape[axis].IsKnown ? map.Builder.Int64(map.Shape[axis].Value) : map.ShapeOf(axis, axis + 1);

    // How much of each position is in each position of a resized axis: [to, from], the resized unit matrix; null if nothing changes.
    private static Value? Bicubic(Value from, Value to)
    {
        if (from.Info.Content is { IsStatic: true } before && to.Info.Content is { IsStatic: true } after && before[0] == after[0])
            return null;
        var builder = from.Builder;
        var unit = builder.Op("EyeLike", [builder.Op("ConstantOfShape", [builder.Concat(0, from, from)])]);
        return builder.Op("Resize", [unit, null, null, builder.Concat(0, to, from)], new()
        {
            ["mode"] = "cubic",
            ["coordinate_transformation_mode"] = "half_pixel",
            ["cubic_coeff_a"] = -0.75f,
        });
    }

    private static Value Linear(Value value, Parameters parameters, long width) =>
        value.Linear(parameters, width, initialization: Initialization.FanIn(value.Shape[-1].Value));
}
