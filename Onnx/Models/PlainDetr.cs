using System.Collections.Frozen;
using System.Globalization;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>How the decoder of a <see cref="PlainDetr"/> lets the queries' boxes into its attention to the map.</summary>
public enum BoxBias
{
    /// <summary>Not at all: boxes act through the queries' position embeddings only (APE).</summary>
    None,

    /// <summary>A bias from the distances between pixels and the box's sides (BoxRPB).</summary>
    Linear,

    /// <summary>A bias from the logarithms of these distances; in no published model.</summary>
    Logarithmic,
}

/// <summary>The hyper-parameters of a <see cref="PlainDetr"/>.</summary>
public sealed record PlainDetrConfig
{
    /// <summary>The backbone.</summary>
    public required SwinV2Config Backbone { get; init; }

    /// <summary>The number of outputs of the classifiers: published models have 91, the categories of COCO by their numbers.</summary>
    public int ClassCount { get; init; } = 91;

    /// <summary>The number of channels of map and queries.</summary>
    public int Width { get; init; } = 256;

    /// <summary>The number of attention heads of the decoder.</summary>
    public int HeadCount { get; init; } = 8;

    /// <summary>The width of the hidden layer of the decoder's MLPs.</summary>
    public int MlpWidth { get; init; } = 2048;

    /// <summary>The number of layers of the decoder.</summary>
    public int LayerCount { get; init; } = 6;

    /// <summary>The number of queries, each of which gives one box.</summary>
    public int QueryCount { get; init; } = 300;

    /// <summary>The number of further queries in training, several of which may find the same object.</summary>
    public int AuxiliaryQueryCount { get; init; } = 1500;

    /// <summary>How boxes act in the attention to the map.</summary>
    public BoxBias BoxBias { get; init; } = BoxBias.Linear;

    /// <summary>The width of the hidden layer of the bias's MLPs.</summary>
    public int BoxBiasWidth { get; init; } = 512;

    /// <summary>
    /// Whether boxes are predicted in pixels, as changes relative to the size of the box before, rather than in parts of the image's size.
    /// </summary>
    public bool IsReparameterized { get; init; }

    /// <summary>Whether positions on the map are counted in steps rather than scaled to its size before they are embedded.</summary>
    public bool HasUnscaledPositions { get; init; }

    /// <summary>Whether the decoder's layers are normalised after the sum rather than before the branch; in no published model.</summary>
    public bool IsPostNorm { get; init; }

    /// <summary>Pixels between neighbouring positions of the map.</summary>
    public int Stride { get; init; } = 16;

    /// <summary>The side in pixels of the smallest proposals, where boxes are predicted in pixels.</summary>
    public int ProposalSize { get; init; } = 50;

    /// <summary>The side of the smallest proposals as a part of the image, where boxes are predicted in parts of it.</summary>
    public double RelativeProposalSize { get; init; } = 0.05;

    /// <summary>Whether the published recipe lets a parameter decay.</summary>
    /// <param name="parameter">The parameter's name.</param>
    public static bool Decays(string parameter) => !Array.Exists(
        ["norm", "bias", "cpb_mlp", "logit_scale", "level_embed"], part => parameter.Contains(part, StringComparison.Ordinal));

    /// <summary>How many blocks of the backbone lie behind a parameter; 0 for all that is not part of the backbone.</summary>
    /// <param name="parameter">The parameter's name.</param>
    public int BlocksBehind(string parameter)
    {
        const string Body = "backbone.0.net.body.";
        var depth = Backbone.Depths.Sum() + 1;
        if (!parameter.StartsWith(Body, StringComparison.Ordinal))
            return 0;
        var path = parameter[Body.Length..].Split('.');
        if (path[0] == "patch_embed")
            return depth;
        if (path[0] != "layers")
            return 0;
        var stage = int.Parse(path[1], CultureInfo.InvariantCulture);
        var block = path[2] == "blocks" ? int.Parse(path[3], CultureInfo.InvariantCulture) : Backbone.Depths[stage] - 1;
        return depth - (Backbone.Depths.Take(stage).Sum() + block + 1);
    }

    internal void Validate()
    {
        Check(Width % HeadCount == 0, nameof(HeadCount), $"is {HeadCount}, which does not divide the width {Width}");
        Check(Width % 32 == 0, nameof(Width), $"is {Width}; it must be a multiple of 32");
        Check(Stride % 2 == 0, nameof(Stride), $"is {Stride}; it must be even");
        Check(QueryCount > 0, nameof(QueryCount), $"is {QueryCount}; the least is 1");
        Check(AuxiliaryQueryCount >= 0, nameof(AuxiliaryQueryCount), $"is {AuxiliaryQueryCount}; the least is 0");
        Check(LayerCount > 0, nameof(LayerCount), $"is {LayerCount}; the least is 1");
        Check(ClassCount > 0, nameof(ClassCount), $"is {ClassCount}; the least is 1");
    }

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"PlainDetrConfig.{property} {reason}.");
    }
}

/// <summary>
/// Plain DETR: an object detector that attends to one map of the backbone, with a bias from the positions of pixels relative to each
/// query's box. It selects proposals from a pyramid made of that map, and refines them layer by layer. It gives a fixed number of
/// detections, best first, with no suppression of overlapping boxes.
/// <para>Source: Lin et al., "DETR Does Not Need Multi-Scale or Locality Design", ICCV 2023 (arXiv 2308.01904), repository
/// impiga/Plain-DETR. Parameters have the names of its checkpoints.</para>
/// </summary>
public static class PlainDetr
{
    private const float LayerNormEpsilon = 1e-5f;
    private const int LevelCount = 4;
    private const double Temperature = 10000;

    /// <summary>
    /// The published models, and <c>plain_detr_nano</c>: a small one of ours for training from scratch on small data sets.
    /// </summary>
    public static IReadOnlyDictionary<string, PlainDetrConfig> Variants { get; } = new Dictionary<string, PlainDetrConfig>
    {
        ["plain_detr_swinv2_small_sup_ape"] = new() { Backbone = SwinV2Small(16), BoxBias = BoxBias.None },
        ["plain_detr_swinv2_small_sup_boxrpe"] = new() { Backbone = SwinV2Small(16) },
        ["plain_detr_swinv2_small_mim_boxrpe"] = new() { Backbone = SwinV2Small(12) },
        ["plain_detr_swinv2_small_mim_boxrpe_reparam"] = new()
        {
            Backbone = SwinV2Small(12), IsReparameterized = true, HasUnscaledPositions = true,
        },
        ["plain_detr_nano"] = new()
        {
            Backbone = new()
            {
                Width = 48, Depths = [2, 2, 6, 2], HeadCounts = [2, 4, 8, 16], WindowSize = 8, PretrainedWindowSizes = [8, 8, 8, 8],
                IsGlobal = [false, false, false, true],
            },
            Width = 128, HeadCount = 4, MlpWidth = 512, LayerCount = 4, QueryCount = 100, AuxiliaryQueryCount = 300, BoxBiasWidth = 128,
            IsReparameterized = true, HasUnscaledPositions = true, ProposalSize = 24,
        },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds a detector. Inputs: <c>image</c> [N, 3, H, W], normalised, each in the upper left corner and zero elsewhere; <c>size</c>
    /// [N, 2] int64, the height and width of each image in pixels; <c>original_size</c> [N, 2] int64, the height and width in which boxes
    /// are wanted. Outputs, best first: <c>scores</c> [N, D] in [0, 1], <c>classes</c> [N, D] int64, <c>boxes</c> [N, D, 4] as x and y of
    /// the upper left and the lower right corner in pixels.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <param name="detectionCount">The number D of detections, at most one for each query and class.</param>
    /// <param name="height">The height of the batch in pixels; null for any.</param>
    /// <param name="width">The width of the batch in pixels; null for any.</param>
    /// <param name="batchSize">
    /// The number N of images; null for any. A model that knows all three sizes computes nothing from them when it runs, and is the
    /// faster for it.
    /// </param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(
        PlainDetrConfig config, WeightSource weights, int detectionCount = 100, int? height = null, int? width = null,
        int? batchSize = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(detectionCount, config.QueryCount * config.ClassCount);
        var builder = new GraphBuilder("plain_detr");
        var parameters = new Parameters(builder, weights);
        var (image, size) = Inputs(builder, config, height, width);
        var originalSize = builder.Input("original_size", TensorElementType.Int64, ["N", 2]);
        var predictions = Predict(image, size, config, parameters, isTraining: false);
        var (scores, classes, boxes) = PostProcess(predictions.Layers[^1], size, originalSize, config, detectionCount);
        builder.Output("scores", scores);
        builder.Output("classes", classes);
        builder.Output("boxes", boxes);
        return Finish(builder, parameters, batchSize);
    }

    /// <summary>
    /// Builds the model that is trained: inputs <c>image</c> and <c>size</c> as in <see cref="Build"/>; outputs are the predictions of all
    /// queries by all layers and those of all proposals.
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildForTraining(PlainDetrConfig config, WeightSource weights, int? height = null, int? width = null)
    {
        var builder = new GraphBuilder("plain_detr");
        var parameters = new Parameters(builder, weights);
        var (image, size) = Inputs(builder, config, height, width);
        var predictions = Predict(image, size, config, parameters, isTraining: true);
        for (var layer = 0; layer < config.LayerCount; layer++)
            predictions.Layers[layer].AddOutputs(builder, $"layer{layer}");
        predictions.Proposals!.AddOutputs(builder, "proposals");
        return Finish(builder, parameters);
    }

    /// <summary>Whether a tensor of an official checkpoint repeats another or is computed: models take none of these.</summary>
    /// <param name="name">The tensor's name.</param>
    public static bool IsRedundant(string name) =>
        name.StartsWith("transformer.decoder.class_embed.", StringComparison.Ordinal)
        || name.StartsWith("transformer.decoder.bbox_embed.", StringComparison.Ordinal)
        || name.EndsWith(".relative_coords_table", StringComparison.Ordinal)
        || name.EndsWith(".relative_position_index", StringComparison.Ordinal);

    /// <summary>The predictions for a batch.</summary>
    /// <param name="image">[N, C, H, W]</param>
    /// <param name="size">Height and width of each image in the batch, [N, 2] int64.</param>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="parameters">The parameters of the whole model.</param>
    /// <param name="isTraining">Whether all queries, layers and proposals are predicted.</param>
    /// <param name="best">The proposals to start from, [N, Q] int64; those of the highest scores if null.</param>
    internal static DetectionPredictions Predict(
        Value image, Value size, PlainDetrConfig config, Parameters parameters, bool isTraining, Value? best = null)
    {
        config.Validate();
        var features = SwinV2.Features(image, config.Backbone, parameters["backbone.0.net.body"]);
        var upsampled = TransposedConv2d(features, parameters["backbone.0.upsample.0"], features.Shape[1].Value / 2);
        var map = GroupNorm(
            upsampled.Conv2d(parameters["input_proj.0.0"], config.Width, kernel: 1), parameters["input_proj.0.1"], groups: 32);
        var extent = ExtentOf(size, image, map);
        var positions = MapPositions(map, extent, config);
        var transformer = parameters["transformer"];
        positions += transformer.Get("level_embed", Initialization.TruncatedNormal(1), 1, config.Width).Reshape(1, config.Width, 1, 1);

        var queryCount = config.QueryCount + (isTraining ? config.AuxiliaryQueryCount : 0);
        var proposals = Propose(map, extent, config, transformer);
        var selection = Select(proposals, best, config, parameters, queryCount, isTraining);
        var reference = selection.Reference;
        var content = parameters["query_embed"]
            .Get("weight", Initialization.TruncatedNormal(1), config.QueryCount + config.AuxiliaryQueryCount, config.Width)
            .Slice(0, 0, queryCount).Unsqueeze(0).Expand(Join(map.ShapeOf(0, 1), queryCount, config.Width));
        var queryPositions = CastLike(BoxEmbedding(reference, config.Width), map)
            .Linear(transformer["pos_trans"], 2 * config.Width).LayerNorm(transformer["pos_trans_norm"], LayerNormEpsilon)
            .Slice(2, 0, config.Width);

        var memory = new DetectionMap(map, positions, extent);
        var mask = isTraining && config.AuxiliaryQueryCount > 0 ? GroupMask(map.Builder, config) : null;
        var layers = Decode(
            content, queryPositions, reference, memory, proposals.MaxSize, mask, config, transformer["decoder"],
            parameters["class_embed"], parameters["bbox_embed"], isTraining);
        return new(layers, selection.All, new(features, upsampled, map, positions, proposals.MaxSize, selection));
    }

    /// <summary>The rows and columns of a map that come from an image, not from padding: [N, 2] int64.</summary>
    internal static Value ExtentOf(Value size, Value image, Value map)
    {
        var builder = image.Builder;
        return builder.Concat(1, Along(0), Along(1));

        // As nearest-neighbour resizing of the mask does it: position i shows row floor(i H / h).
        Value Along(int axis) => Nearest(size.Slice(1, axis, axis + 1), image.ShapeOf(2 + axis, 3 + axis), map.ShapeOf(2 + axis, 3 + axis));
    }

    /// <summary>Of <paramref name="to"/> positions that sample <paramref name="from"/>, how many fall below a limit: [N, 1].</summary>
    private static Value Nearest(Value limit, Value from, Value to)
    {
        var builder = limit.Builder;
        var step = from.Cast(TensorElementType.Float) / to.Cast(TensorElementType.Float);
        var sources = (Positions(to) * step).Apply("Floor").Cast(TensorElementType.Int64);
        return builder.Op("Less", [sources.Unsqueeze(0), limit]).Cast(TensorElementType.Int64).ReduceSum([1], keepDims: true);
    }

    /// <summary>Sine embedding of the positions on a map: [N, width, H, W], features of rows before those of columns.</summary>
    internal static Value MapPositions(Value map, Value extent, PlainDetrConfig config) =>
        MapPositions(map, extent, config.Width / 2, config.HasUnscaledPositions);

    /// <inheritdoc cref="MapPositions(Value, Value, PlainDetrConfig)"/>
    internal static Value MapPositions(Value map, Value extent, int featureCount, bool isUnscaled)
    {
        // In the padding beside the image nothing is counted, in that behind it the count stays.
        var (rows, columns) = (extent.Slice(1, 0, 1).Unsqueeze(2), extent.Slice(1, 1, 2).Unsqueeze(2));
        var down = Positions(map.ShapeOf(2, 3), TensorElementType.Int64).Reshape(1, -1, 1);
        var across = Positions(map.ShapeOf(3, 4), TensorElementType.Int64).Reshape(1, 1, -1);
        return map.Builder.Concat(3, Along(down, rows, across, columns), Along(across, columns, down, rows)).ToChannelsFirst();

        Value Along(Value positions, Value count, Value others, Value otherCount)
        {
            var builder = map.Builder;
            var one = builder.Int64(1);
            var isInside = builder.Op("Less", [others, otherCount]).Cast(TensorElementType.Int64);
            var counted = (builder.Op("Min", [positions + one, count]) * isInside).Cast(TensorElementType.Float) - 0.5;
            if (!isUnscaled)
                counted /= (count * isInside).Cast(TensorElementType.Float) + 1e-6;
            return Sines(counted * (2 * Math.PI), featureCount);
        }
    }

    /// <summary>Sine embedding of boxes: [N, Q, 4] to [N, Q, 2 width].</summary>
    internal static Value BoxEmbedding(Value boxes, int width) => Sines(boxes * (2 * Math.PI), width / 2).Reshape(0, 0, 2 * width);

    // Sines and cosines in turn, at falling frequencies: adds an axis.
    private static Value Sines(Value phases, int featureCount)
    {
        var periods = Enumerable.Range(0, featureCount / 2).Select(i => (float)Math.Pow(Temperature, 2.0 * i / featureCount)).ToArray();
        var angles = phases.Unsqueeze(-1) / phases.Builder.Constant(Tensor.Create<float>(periods, periods.Length));
        var rank = angles.Shape.Rank;
        var pairs = phases.Builder.Concat(-1, angles.Apply("Sin").Unsqueeze(-1), angles.Apply("Cos").Unsqueeze(-1));
        return pairs.Reshape([.. Enumerable.Repeat(0L, rank - 1), featureCount]);
    }

    /// <summary>The candidates: the positions of four maps from half to four times the stride, with a square around each.</summary>
    internal static DetectionProposals Propose(Value map, Value extent, PlainDetrConfig config, Parameters parameters)
    {
        var (builder, width) = (map.Builder, config.Width);
        var projections = parameters["enc_output_proj"];
        Value[] levels =
        [
            TransposedConv2d(map, projections["0.0"], width),
            map,
            map.Conv2d(projections["2.0"], width, kernel: 2, stride: 2),
            map.Conv2d(projections["3.0"], width, kernel: 2, stride: 2).ToChannelsLast()
                .LayerNorm(projections["3.1.ln"], LayerNormEpsilon).Gelu().ToChannelsFirst()
                .Conv2d(projections["3.3"], width, kernel: 2, stride: 2),
        ];
        var extents = Array.ConvertAll(
            levels, level => level == map ? extent : builder.Concat(1, ExtentAlong(0, level), ExtentAlong(1, level)));
        var finest = config.Stride / 2;
        // Of the level with the finest stride.
        var maxSize = config.IsReparameterized ? extents[0].Cast(TensorElementType.Float) * finest : null;
        var boxes = Enumerable.Range(0, LevelCount).Select(level => LevelBoxes(levels[level], extents[level], level)).ToArray();
        var isValid = builder.Concat(1, [.. boxes.Select(level => level.IsValid)]);
        var centred = builder.Concat(1, [.. boxes.Select(level => level.Boxes)]);
        Value candidates;
        if (config.IsReparameterized)
        {
            var largest = levels[0].ShapeOf(2, 4).Reduce("ReduceMax", [0], keepDims: false).Cast(TensorElementType.Float) * finest;
            candidates = isValid.Where(centred, largest);
        }
        else
        {
            candidates = isValid.Where((centred / (1 - centred)).Apply("Log"), builder.Constant(Tensor.Scalar(float.PositiveInfinity)));
        }
        var tokens = builder.Concat(1, [.. levels.Select(level => level.Reshape(0, width, -1).Transpose(0, 2, 1))]);
        var memory = isValid.Where(tokens, builder.Scalar(0, tokens))
            .Linear(parameters["enc_output"], width).LayerNorm(parameters["enc_output_norm"], LayerNormEpsilon);
        return new(memory, candidates, maxSize);

        Value ExtentAlong(int axis, Value level) =>
            Nearest(extent.Slice(1, axis, axis + 1), map.ShapeOf(2 + axis, 3 + axis), level.ShapeOf(2 + axis, 3 + axis));

        (Value Boxes, Value IsValid) LevelBoxes(Value level, Value extent, int index)
        {
            var stride = finest << index;
            var (rows, columns) = (Centres(2), Centres(3));
            var (isRow, isColumn) = (IsInside(2), IsInside(3));
            var side = config.IsReparameterized ? config.ProposalSize << index : config.RelativeProposalSize * (1 << index);
            // Centres as parts of the image, in which a box has to lie clear of the border.
            var whole = builder.Concat(0, level.ShapeOf(0, 1), level.ShapeOf(2, 4), builder.Int64(1));
            var (x, y) = (columns.Unsqueeze(1, 3), rows.Unsqueeze(2, 3));
            var square = builder.Constant(Tensor.Create<float>([(float)side, (float)side], 2));
            var sizes = square.Expand(builder.Concat(0, whole.Slice(0, 0, 3), builder.Int64(2)));
            var boxes = builder.Concat(3, x.Expand(whole), y.Expand(whole), sizes).Reshape(0, -1, 4);
            var scaled = config.IsReparameterized ? boxes / builder.Concat(1, Swapped(maxSize!), Swapped(maxSize!)).Unsqueeze(1) : boxes;
            var isClear = builder.Op("And",
            [
                builder.Op("Greater", [scaled.Reduce("ReduceMin", [2], keepDims: true), builder.Scalar(0.01, scaled)]),
                builder.Op("Less", [scaled.Reduce("ReduceMax", [2], keepDims: true), builder.Scalar(0.99, scaled)]),
            ]);
            var isInside = builder.Op("And", [isRow.Unsqueeze(2), isColumn.Unsqueeze(1)]).Reshape(0, -1, 1);
            return (boxes, builder.Op("And", [isClear, isInside]));

            // [N, positions of the axis]
            Value Centres(int axis)
            {
                var centres = Positions(level.ShapeOf(axis, axis + 1)).Unsqueeze(0) + 0.5;
                var count = extent.Slice(1, axis - 2, axis - 1).Cast(TensorElementType.Float);
                return config.IsReparameterized ? (centres * stride) + (count * 0) : centres / count;
            }

            Value IsInside(int axis)
            {
                var positions = Positions(level.ShapeOf(axis, axis + 1), TensorElementType.Int64).Unsqueeze(0);
                return builder.Op("Less", [positions, extent.Slice(1, axis - 2, axis - 1)]);
            }
        }
    }

    // The best candidates, refined, and in training the predictions for all.
    private static DetectionSelection Select(
        DetectionProposals proposals, Value? best, PlainDetrConfig config, Parameters parameters, int queryCount, bool isTraining)
    {
        var builder = proposals.Memory.Builder;
        var classifier = parameters[$"class_embed.{config.LayerCount}"];
        // The first class stands for any object.
        var scores = Classify(proposals.Memory, classifier, config, classCount: 1).Squeeze(2);
        best ??= scores.TopK(builder.Int64(queryCount), axis: 1).Indices;
        var places = best.Unsqueeze(2);
        if (!isTraining)
            return new(scores, best, Refine(Pick(proposals.Candidates), Deltas(Pick(proposals.Memory))), null);
        var deltas = Deltas(proposals.Memory);
        var boxes = Refine(proposals.Candidates, deltas);
        var logits = Classify(proposals.Memory, classifier, config, config.ClassCount);
        return new(scores, best, StopGradient.Apply(Pick(boxes)), new(logits, boxes, deltas, proposals.Candidates));

        Value Deltas(Value memory) => BoxMlp(memory, parameters[$"bbox_embed.{config.LayerCount}"], config);

        Value Pick(Value values) => builder.Op("GatherND", [values, places], new() { ["batch_dims"] = 1 });

        Value Refine(Value candidates, Value deltas) => config.IsReparameterized
            ? BoxCoding.Decode(candidates, deltas, proposals.MaxSize!)
            : (deltas + candidates).Apply("Sigmoid");
    }

    /// <summary>The layers of the decoder, each with its classifier and its refinement of the boxes.</summary>
    internal static IReadOnlyList<BoxPredictions> Decode(
        Value content, Value positions, Value reference, DetectionMap map, Value? maxSize, Value? mask, PlainDetrConfig config,
        Parameters decoder, Parameters classifiers, Parameters boxMlps, bool isTraining)
    {
        var layers = new List<BoxPredictions>();
        var ratio = config.IsReparameterized ? null : map.Ratio.Unsqueeze(1);
        // The box before with its gradient, for the losses; attention and the next layer take it as given.
        var previous = reference;
        for (var layer = 0; layer < config.LayerCount; layer++)
        {
            var boxesOnMap = ratio is null ? reference : reference * ratio;
            content = DecoderLayer(content, positions, boxesOnMap, map, mask, config, decoder[$"layers.{layer}"]);
            var features = config.IsPostNorm ? content : content.LayerNorm(decoder["final_layer_norm"], LayerNormEpsilon);
            var logits = Classify(features, classifiers[$"{layer}"], config, config.ClassCount);
            var deltas = BoxMlp(features, boxMlps[$"{layer}"], config);
            var boxes = Refine(reference, deltas);
            layers.Add(new(logits, isTraining ? Refine(previous, deltas) : boxes, deltas, previous) { Features = features });
            (previous, reference) = (boxes, isTraining ? StopGradient.Apply(boxes) : boxes);
        }
        return layers;

        Value Refine(Value from, Value deltas) => config.IsReparameterized
            ? BoxCoding.Decode(from, deltas, maxSize!)
            : (deltas + BoxCoding.InverseSigmoid(from)).Apply("Sigmoid");
    }

    /// <summary>One layer of the decoder: attention among the queries, attention to the map, MLP.</summary>
    internal static Value DecoderLayer(
        Value content, Value positions, Value boxes, DetectionMap map, Value? mask, PlainDetrConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        content = Residual(content, "norm2", value => SelfAttention(value, positions, mask, config, parameters["self_attn"]));
        content = Residual(content, "norm1", value => CrossAttention(value + positions, boxes, map, config, parameters["cross_attn"]));
        return Residual(content, "norm3", value =>
            value.Linear(parameters["linear1"], config.MlpWidth).Apply("Relu").Linear(parameters["linear2"], config.Width));

        Value Residual(Value input, string norm, Func<Value, Value> branch) => config.IsPostNorm
            ? (input + branch(input)).LayerNorm(parameters[norm], LayerNormEpsilon)
            : input + branch(input.LayerNorm(parameters[norm], LayerNormEpsilon));
    }

    /// <summary>Attention of queries to each other: [N, Q, width] to the same.</summary>
    internal static Value SelfAttention(Value content, Value positions, Value? mask, PlainDetrConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        long width = config.Width;
        var weight = parameters.Get("in_proj_weight", Initialization.Uniform(Math.Sqrt(6.0 / (4 * width))), 3 * width, width);
        var bias = parameters.Get("in_proj_bias", Initialization.Zeros, 3 * width);
        var queryKey = Project(content + positions, 0, 2).Split(2, width, width);
        return MultiHeadAttention.Apply(queryKey[0], queryKey[1], Project(content, 2, 3), config.HeadCount, mask)
            .Linear(parameters["out_proj"], width);

        Value Project(Value value, int from, int to) =>
            value.MatMul(weight.Slice(0, from * width, to * width).Transpose(1, 0)) + bias.Slice(0, from * width, to * width);
    }

    /// <summary>Attention of queries to the map: [N, Q, width] to the same.</summary>
    internal static Value CrossAttention(Value query, Value boxes, DetectionMap map, PlainDetrConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var width = config.Width;
        var (projectedQuery, key) = (query.Linear(parameters["q"], width), map.Keys.Linear(parameters["k"], width));
        var (columns, rows) = config.BoxBias == BoxBias.None
            ? (NoBias(map.Columns), NoBias(map.Rows))
            : BoxBiases(boxes, map, config, parameters);
        return BoxRelativeAttention
            .Apply(projectedQuery, key, map.Values.Linear(parameters["v"], width), columns, rows, map.Extent, config.HeadCount)
            .Linear(parameters["proj"], width);

        Value NoBias(Value length) => query.Builder.Op(
            "ConstantOfShape", [query.Builder.Concat(0, query.ShapeOf(0, 2), length, query.Builder.Int64(config.HeadCount))]);
    }

    // Of the columns and of the rows of the map: [N, Q, positions of the axis, heads].
    private static (Value Columns, Value Rows) BoxBiases(Value boxes, DetectionMap map, PlainDetrConfig config, Parameters parameters)
    {
        var builder = boxes.Builder;
        if (!config.IsReparameterized)
        {
            var lengths = builder.Concat(0, map.Columns, map.Rows, map.Columns, map.Rows).Cast(TensorElementType.Float);
            boxes *= lengths * config.Stride;
        }
        var (centres, halves) = (boxes.Slice(2, 0, 2), boxes.Slice(2, 2, 4) * 0.5);
        var (first, last) = (centres - halves, centres + halves);
        return (Along(0, map.Columns, parameters["cpb_mlp1"]), Along(1, map.Rows, parameters["cpb_mlp2"]));

        Value Along(int coordinate, Value length, Parameters mlp)
        {
            // [N, Q, 1, 2] - [positions, 1]
            var sides = builder.Concat(2, first.Slice(2, coordinate, coordinate + 1), last.Slice(2, coordinate, coordinate + 1));
            var offsets = sides.Unsqueeze(2) - ((Positions(length) + 0.5) * config.Stride).Unsqueeze(1);
            if (config.BoxBias == BoxBias.Logarithmic)
                offsets = offsets.Apply("Sign") * (offsets.Apply("Abs") + 1).Apply("Log") / Math.Log(8);
            return CastLike(offsets, map.Values).Linear(mlp["0"], config.BoxBiasWidth).Apply("Relu").Linear(mlp["2"], config.HeadCount, bias: false);
        }
    }

    /// <summary>The best pairs of query and class, with boxes in pixels of the original images.</summary>
    internal static (Value Scores, Value Classes, Value Boxes) PostProcess(
        BoxPredictions predictions, Value size, Value originalSize, PlainDetrConfig config, int detectionCount)
    {
        var builder = size.Builder;
        var (scores, pairs) = predictions.Logits.Apply("Sigmoid").Reshape(0, -1).TopK(builder.Int64(detectionCount));
        var classCount = builder.Int64(config.ClassCount);
        var places = (pairs / classCount).Unsqueeze(2);
        var corners = BoxCoding.ToCorners(builder.Op("GatherND", [predictions.Boxes, places], new() { ["batch_dims"] = 1 }));
        var (resized, original) = (Swapped(size.Cast(TensorElementType.Float)), Swapped(originalSize.Cast(TensorElementType.Float)));
        var boxes = config.IsReparameterized
            ? BoxCoding.Clamp(corners, Twice(resized)) * Twice(original / resized)
            : corners * Twice(original);
        return (scores, builder.Op("Mod", [pairs, classCount]), boxes);

        Value Twice(Value pair) => builder.Concat(1, pair, pair).Unsqueeze(1);
    }

    private static (Value Image, Value Size) Inputs(GraphBuilder builder, PlainDetrConfig config, int? height, int? width) =>
    (
        builder.Input("image", TensorElementType.Float, ["N", config.Backbone.InputChannels, height ?? (Dim)"H", width ?? (Dim)"W"]),
        builder.Input("size", TensorElementType.Int64, ["N", 2]));

    private static OnnxModel Finish(GraphBuilder builder, Parameters parameters, int? batchSize = null)
    {
        parameters.ThrowIfUnfit();
        if (batchSize is { } count)
        {
            GraphSimplifier.FixSizes(builder.Graph, new Dictionary<string, long> { ["N"] = count }, functions: []);
            GraphSimplifier.Fold(builder.Graph);
        }
        // Layers before the last classify in training only.
        GraphSimplifier.RemoveUnused(builder.Graph);
        return builder.ToModel();
    }

    // The logits of the first classes; each starts at a probability of 0.01.
    private static Value Classify(Value features, Parameters parameters, PlainDetrConfig config, int classCount)
    {
        var weight = parameters.Get("weight", Initialization.FanIn(config.Width), config.ClassCount, config.Width);
        var bias = parameters.Get("bias", Initialization.Constant(-MathF.Log(99)), config.ClassCount);
        if (classCount < config.ClassCount)
            (weight, bias) = (weight.Slice(0, 0, classCount), bias.Slice(0, 0, classCount));
        return Single(features.MatMul(weight.Transpose(1, 0)) + bias);
    }

    private static Value BoxMlp(Value features, Parameters parameters, PlainDetrConfig config)
    {
        var hidden = features.Linear(parameters["layers.0"], config.Width).Apply("Relu")
            .Linear(parameters["layers.1"], config.Width).Apply("Relu");
        var weight = parameters["layers.2"].Get("weight", Initialization.Zeros, 4, config.Width);
        return Single(hidden).MatMul(weight.Transpose(1, 0)) + parameters["layers.2"].Get("bias", Initialization.Zeros, 4);
    }

    // Boxes and scores are in single precision, whatever the rest is in: half has 11 bits, and a picture more pixels.
    private static Value Single(Value value) => value.Cast(TensorElementType.Float);

    private static Value CastLike(Value value, Value like) => value.Builder.Op("CastLike", [value, like]);

    // Doubles height and width.
    private static Value TransposedConv2d(Value map, Parameters parameters, long channels)
    {
        using var scope = parameters.Scope();
        var inputs = map.Shape[1].Value;
        var initialization = Initialization.FanIn(inputs);
        return map.Builder.Op(
            "ConvTranspose",
            [map, parameters.Get("weight", initialization, inputs, channels, 2, 2), parameters.Get("bias", initialization, channels)],
            new() { ["kernel_shape"] = new[] { 2, 2 }, ["strides"] = new[] { 2, 2 } });
    }

    private static Value GroupNorm(Value map, Parameters parameters, long groups)
    {
        using var scope = parameters.Scope();
        var (builder, channels) = (map.Builder, map.Shape[1].Value);
        var ones = builder.Constant(Tensor.Create<float>([.. Enumerable.Repeat(1f, (int)groups)], groups));
        var zeros = builder.Constant(Tensor.Create<float>(new float[groups], groups));
        var normalized = builder.Op(
            "InstanceNormalization", [map.Reshape(0, groups, -1), ones, zeros], new() { ["epsilon"] = LayerNormEpsilon }).ReshapeLike(map);
        return (normalized * parameters.Get("weight", Initialization.Ones, channels).Reshape(channels, 1, 1))
            + parameters.Get("bias", Initialization.Zeros, channels).Reshape(channels, 1, 1);
    }

    // Keeps queries of the two groups from seeing each other: [Q, Q].
    private static Value GroupMask(GraphBuilder builder, PlainDetrConfig config)
    {
        var count = config.QueryCount + config.AuxiliaryQueryCount;
        var mask = new float[count * count];
        for (var i = 0; i < mask.Length; i++)
            mask[i] = i / count < config.QueryCount == i % count < config.QueryCount ? 0 : float.NegativeInfinity;
        return builder.Constant(Tensor.Create<float>(mask, count, count));
    }

    private static Value Positions(Value length, TensorElementType type = TensorElementType.Float)
    {
        var builder = length.Builder;
        var (zero, one) = (builder.Constant(Tensor.Scalar(0L)), builder.Constant(Tensor.Scalar(1L)));
        var positions = builder.Op("Range", [zero, length.Squeeze(0), one]);
        return type == TensorElementType.Int64 ? positions : positions.Cast(type);
    }

    // [N, 2] of height and width to width and height, or back.
    private static Value Swapped(Value pairs) => pairs.Builder.Concat(1, pairs.Slice(1, 1, 2), pairs.Slice(1, 0, 1));

    private static Value Join(Value sizes, params ReadOnlySpan<long> more) => sizes.Builder.Concat(0, sizes, sizes.Builder.Int64(more));

    private static SwinV2Config SwinV2Small(int pretrainedWindow) => new()
    {
        Width = 96,
        Depths = [2, 2, 18, 2],
        HeadCounts = [3, 6, 12, 24],
        PretrainedWindowSizes = [pretrainedWindow, pretrainedWindow, pretrainedWindow, pretrainedWindow / 2],
        IsGlobal = [false, false, false, true],
        DropPathRate = 0.1f,
    };
}

/// <summary>The map that a detector's decoder attends to.</summary>
internal sealed class DetectionMap
{
    /// <param name="map">[N, C, H, W]</param>
    /// <param name="positions">Their embedding, [N, C, H, W].</param>
    /// <param name="extent">Rows and columns that are not padding, [N, 2] int64.</param>
    public DetectionMap(Value map, Value positions, Value extent)
        : this(Tokens(map), Tokens(map) + Tokens(positions), map.ShapeOf(2, 3), map.ShapeOf(3, 4), extent)
    {
    }

    /// <param name="values">[N, H W, C]</param>
    /// <param name="keys">[N, H W, C]</param>
    /// <param name="rows">H as a vector of one.</param>
    /// <param name="columns">W as a vector of one.</param>
    /// <param name="extent">Rows and columns that are not padding, [N, 2] int64.</param>
    public DetectionMap(Value values, Value keys, Value rows, Value columns, Value extent) =>
        (Values, Keys, Rows, Columns, Extent) = (values, keys, rows, columns, extent);

    public Value Values { get; }

    public Value Keys { get; }

    public Value Rows { get; }

    public Value Columns { get; }

    public Value Extent { get; }

    /// <summary>The parts of the map that are not padding, [N, 4] as across, down, across, down.</summary>
    public Value Ratio
    {
        get
        {
            var builder = Extent.Builder;
            var (rows, columns) = (Extent.Slice(1, 0, 1), Extent.Slice(1, 1, 2));
            var lengths = builder.Concat(0, Columns, Rows, Columns, Rows).Cast(TensorElementType.Float);
            return builder.Concat(1, columns, rows, columns, rows).Cast(TensorElementType.Float) / lengths;
        }
    }

    private static Value Tokens(Value map) => map.Reshape(0, map.Shape[1].Value, -1).Transpose(0, 2, 1);
}

/// <summary>The candidates that a detector selects its first boxes from; P is their number.</summary>
/// <param name="Memory">Their features, [N, P, C].</param>
/// <param name="Candidates">Their boxes, [N, P, 4]: logits, or pixels where the model is reparameterised.</param>
/// <param name="MaxSize">Height and width that boxes are clamped to, [N, 2]; null where they are not.</param>
internal sealed record DetectionProposals(Value Memory, Value Candidates, Value? MaxSize);

/// <summary>The candidates that a detector starts from.</summary>
/// <param name="Scores">How likely each candidate is an object, as a logit, [N, P].</param>
/// <param name="Best">The selected ones, best first, [N, Q] int64.</param>
/// <param name="Reference">The boxes of these, [N, Q, 4].</param>
/// <param name="All">In training: the predictions for all candidates.</param>
internal sealed record DetectionSelection(Value Scores, Value Best, Value Reference, BoxPredictions? All);

/// <summary>What one layer, or the proposal stage, predicts.</summary>
/// <param name="Logits">[N, Q, classes]</param>
/// <param name="Boxes">Centre x and y, width and height, [N, Q, 4].</param>
/// <param name="Deltas">What changed the box before into this one, [N, Q, 4].</param>
/// <param name="Previous">The box before, [N, Q, 4].</param>
internal sealed record BoxPredictions(Value Logits, Value Boxes, Value Deltas, Value Previous)
{
    /// <summary>The features that all is predicted from, [N, Q, C].</summary>
    public Value? Features { get; init; }

    public void AddOutputs(GraphBuilder builder, string stage)
    {
        builder.Output(stage + "/logits", Logits);
        builder.Output(stage + "/boxes", Boxes);
        builder.Output(stage + "/deltas", Deltas);
        builder.Output(stage + "/previous", Previous);
    }
}

/// <summary>Values inside a detector that reference cases record.</summary>
internal sealed record DetectionInternals(
    Value Features, Value Upsampled, Value Map, Value Positions, Value? MaxSize, DetectionSelection Selection);

/// <summary>All that a detector predicts.</summary>
internal sealed record DetectionPredictions(
    IReadOnlyList<BoxPredictions> Layers, BoxPredictions? Proposals, DetectionInternals Internals);
