using System.Collections.Frozen;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The hyper-parameters of a <see cref="Sccan"/>.</summary>
public sealed record SccanConfig
{
    /// <summary>The backbone, of four stages; the number of classes does not matter.</summary>
    public required ResNetConfig Backbone { get; init; }

    /// <summary>Pixels to one position of the backbone's last three maps: 8, or 4.</summary>
    public int Stride { get; init; } = 8;

    /// <summary>
    /// Whether training leaves the backbone as it is, as published: no gradient flows into it. Its batch normalisations are then to be
    /// frozen too (<see cref="Training.TrainingOptions.FreezeBatchNormalization"/>).
    /// </summary>
    public bool IsBackboneFrozen { get; init; } = true;

    /// <summary>The number of support images of an episode. The parameters are the same for any.</summary>
    public int ShotCount { get; init; } = 1;

    /// <summary>The height and width of the images in pixels.</summary>
    public int ImageSize { get; init; } = 473;

    /// <summary>The height and width of the predicted maps; those of the images if null.</summary>
    public int? OutputSize { get; init; }

    /// <summary>The height and width of the maps that the backbone's are resized to; a multiple of <see cref="WindowSize"/>.</summary>
    public int FeatureSize { get; init; } = 64;

    /// <summary>The number of channels behind the backbone; a multiple of <see cref="HeadCount"/>.</summary>
    public int Width { get; init; } = 256;

    /// <summary>The number of blocks of self-calibrated cross attention, at least 1. Every other one has shifted windows.</summary>
    public int BlockCount { get; init; } = 8;

    /// <summary>The number of attention heads.</summary>
    public int HeadCount { get; init; } = 8;

    /// <summary>The height and width of the attention's windows.</summary>
    public int WindowSize { get; init; } = 8;

    /// <summary>The width of the hidden layers of the blocks' MLPs, as a multiple of <see cref="Width"/>.</summary>
    public float MlpRatio { get; init; } = 1;

    /// <summary>
    /// The probability, below 1, at which training drops a channel of the reduced features; 0.5 in the published training.
    /// </summary>
    public float FeatureDropRate { get; init; }

    /// <summary>
    /// The probability, below 1, at which training drops a channel before the classifier; 0.1 in the published training.
    /// </summary>
    public float ClassifierDropRate { get; init; }

    /// <summary>Whether queries, keys and values have a bias. All published models do.</summary>
    internal bool HasQueryKeyValueBias { get; init; } = true;

    internal void Validate()
    {
        Check(Backbone.Depths.Count == 4, nameof(Backbone), $"has {Backbone.Depths.Count} stages; it needs 4");
        Check(Stride is 4 or 8, nameof(Stride), $"is {Stride}; it can be 4 or 8");
        Check(ShotCount > 0, nameof(ShotCount), $"is {ShotCount}; an episode needs a support image");
        Check(ImageSize > 0, nameof(ImageSize), $"is {ImageSize}; it must be positive");
        Check(OutputSize is null or > 0, nameof(OutputSize), $"is {OutputSize}; it must be positive");
        Check(BlockCount > 0, nameof(BlockCount), $"is {BlockCount}; the least is 1");
        Check(WindowSize > 0, nameof(WindowSize), $"is {WindowSize}; it must be positive");
        Check(FeatureSize > 0 && FeatureSize % WindowSize == 0, nameof(FeatureSize),
            $"is {FeatureSize}; it must be a multiple of the window size {WindowSize}");
        Check(HeadCount > 0, nameof(HeadCount), $"is {HeadCount}; it must be positive");
        Check(Width > 0 && Width % HeadCount == 0, nameof(Width), $"is {Width}; it must be a multiple of the {HeadCount} heads");
        Check(MlpRatio * Width >= 1, nameof(MlpRatio), $"is {MlpRatio}, which leaves no hidden layer");
    }

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"SccanConfig.{property} {reason}.");
    }
}

/// <summary>
/// SCCAN, the self-calibrated cross attention network, which segments in a query image the objects of a class that it knows from a few
/// support images with masks only. The support images are computed without the query, so that they can be computed once for many queries.
/// <para>Source: Xu et al., "Self-Calibrated Cross Attention Network for Few-Shot Segmentation", ICCV 2023 (arXiv 2308.09294), repository
/// Sam1224/SCCAN.</para>
/// </summary>
// What turns on small differences, the prior and the alignment of windows, is cast to float32: in a float32 model these casts do nothing.
public static class Sccan
{
    private const float AreaEpsilon = 0.0005f;
    private const float Epsilon = 1e-7f;
    private const float LayerNormEpsilon = 1e-5f;
    private static readonly string[] SupportModules = ["down_supp", "init_merge_supp", "attn_s", "mlp_s"];

    /// <summary>
    /// The published models <c>sccan_resnet50</c> and <c>sccan_resnet101</c>, and <c>sccan_nano</c>, a small one of ours for images of
    /// 128 x 128 that trains from scratch. All take one support image; use <c>with { ShotCount = 5 }</c> for more.
    /// </summary>
    public static IReadOnlyDictionary<string, SccanConfig> Variants { get; } = new Dictionary<string, SccanConfig>
    {
        ["sccan_resnet50"] = new() { Backbone = DeepResNet(3, 4, 6, 3) },
        ["sccan_resnet101"] = new() { Backbone = DeepResNet(3, 4, 23, 3) },
        ["sccan_nano"] = new()
        {
            Backbone = new()
            {
                Block = ResNetBlock.Basic, Stem = ResNetStem.Deep, Depths = [1, 1, 1, 1], Widths = [32, 64, 96, 128],
            },
            Stride = 4,
            IsBackboneFrozen = false,
            ImageSize = 128,
            FeatureSize = 32,
            Width = 64,
            BlockCount = 4,
            HeadCount = 4,
        },
    }.ToFrozenDictionary();

    /// <summary>
    /// Builds the model for whole episodes, which is also the one to train: inputs <c>x</c> [N, C, S, S], the query images,
    /// <c>support</c> [N, K, C, S, S], the support images of each, and <c>mask</c> [N, K, S, S] uint8, where 1 is the object and all else
    /// is not; output <c>logits</c> [N, 2, S, S] of background and object.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from.</param>
    /// <exception cref="ArgumentException">The hyper-parameters contradict each other.</exception>
    /// <exception cref="InvalidDataException">The weights do not fit the model; the message lists every difference.</exception>
    public static OnnxModel Build(SccanConfig config, WeightSource weights) => BuildEpisodes(config, weights, withFeatures: false);

    /// <summary>
    /// What <see cref="Build"/> builds; with features it also has an output <c>features</c> [N, channels, H, W], the maps of the backbone's last three stages of the
    /// query images side by side, for further losses.
    /// </summary>
    internal static OnnxModel BuildEpisodes(SccanConfig config, WeightSource weights, bool withFeatures)
    {
        config.Validate();
        var builder = new GraphBuilder("sccan");
        var parameters = NewParameters(builder, weights, config);
        var image = Image(builder, config);
        var (supportImages, mask) = SupportInputs(builder, config, "N");
        // One batch of all, so that batch normalisations in training see queries and supports alike.
        var features = Features(builder.Concat(1, image.Unsqueeze(1), supportImages), config, parameters);
        var support = Support(features.Slice(1, config.ShotCount + 1), mask, config, parameters);
        var query = features.Slice(0, 1);
        builder.Output("logits", Predict(query, support, config, parameters));
        if (withFeatures)
            builder.Output("features", builder.Concat(1, query.Second, query.Third, query.Last));
        return Finish(builder, parameters);
    }

    /// <summary>
    /// Builds the model of the support images alone, for <see cref="BuildQuery"/>: inputs <c>support</c> [M, K, C, S, S] and <c>mask</c>
    /// [M, K, S, S] uint8; outputs <c>support_keys</c>, <c>support_masks</c>, <c>prototype</c>, and for each block <c>B</c>
    /// <c>windows.B.key_value</c>, <c>windows.B.means</c>, <c>windows.B.area</c>: the inputs of the same names there.
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildSupport(SccanConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("sccan_support");
        var parameters = NewParameters(builder, weights.Without(name => !IsOfSupport(name, config)), config);
        var (images, mask) = SupportInputs(builder, config, "M");
        var features = Features(images, config, parameters);
        foreach (var (name, value) in Support(features, mask, config, parameters).Values)
            builder.Output(name, value);
        return Finish(builder, parameters);
    }

    /// <summary>
    /// Builds the model of the query images, given what <see cref="BuildSupport"/> made of the support images: inputs <c>x</c>
    /// [N, C, S, S] and the outputs of that model; output <c>logits</c> [N, 2, S, S]. The support is that of one class (M is 1) or of as
    /// many as there are queries (M is N).
    /// </summary>
    /// <inheritdoc cref="Build"/>
    public static OnnxModel BuildQuery(SccanConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("sccan_query");
        var parameters = NewParameters(builder, weights.Without(IsOfSupportOnly), config);
        var image = Image(builder, config);
        var support = SccanSupport.Inputs(builder, config);
        builder.Output("logits", Predict(Features(image.Unsqueeze(1), config, parameters), support, config, parameters));
        return Finish(builder, parameters);
    }

    /// <summary>
    /// Builds the model that finds some classes in query images: what <see cref="BuildSupport"/> made of the support images of each is part
    /// of it, with M = 1. Input <c>x</c> [N, C, S, S]; output <c>logits</c> [N, classes, 2, S, S].
    /// </summary>
    internal static OnnxModel BuildSegmenter(
        SccanConfig config, WeightSource weights, IReadOnlyList<IReadOnlyDictionary<string, Tensor>> supports)
    {
        config.Validate();
        var builder = new GraphBuilder("sccan_segmenter");
        var parameters = NewParameters(builder, weights.Without(IsOfSupportOnly), config);
        var features = Features(Image(builder, config).Unsqueeze(1), config, parameters);
        var logits = supports.Select(tensors =>
        {
            var support = SccanSupport.Of(config, (name, _) => builder.Constant(tensors[name]));
            return Predict(features, support, config, parameters).Unsqueeze(1);
        });
        builder.Output("logits", builder.Concat(1, [.. logits]));
        return Finish(builder, parameters);
    }

    /// <summary>
    /// Builds the backbone alone, to compare with what needs nothing else: input <c>x</c> [N, C, S, S], outputs <c>second</c>, <c>third</c>
    /// and <c>last</c>, the maps of its last three stages.
    /// </summary>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="weights">Where the parameters come from; those of the whole model will do.</param>
    /// <inheritdoc cref="Build" path="/exception"/>
    public static OnnxModel BuildBackbone(SccanConfig config, WeightSource weights)
    {
        config.Validate();
        var builder = new GraphBuilder("sccan_backbone");
        var parameters = NewParameters(
            builder, weights.Without(name => !name.StartsWith("backbone.", StringComparison.Ordinal)), config);
        var features = Features(Image(builder, config).Unsqueeze(1), config, parameters);
        builder.Output("second", features.Second);
        builder.Output("third", features.Third);
        builder.Output("last", features.Last);
        return Finish(builder, parameters);
    }

    // The maps of the backbone's last three stages, of images [N, I, C, S, S].
    private static SccanFeatures Features(Value images, SccanConfig config, Parameters parameters)
    {
        var body = parameters["backbone.body"];
        using var scope = body.Scope();
        var batch = images.Reshape(-1, config.Backbone.InputChannels, config.ImageSize, config.ImageSize);
        var maps = ResNet.Stages(batch, body, config.Backbone, config.Stride);
        if (config.IsBackboneFrozen)
            maps = Array.ConvertAll(maps, StopGradient.Apply);
        return new(maps[1], maps[2], maps[3], (int)images.Shape[1].Value);
    }

    /// <summary>All that queries need to know of M times K support images.</summary>
    /// <param name="features">Of [M K, C, S, S].</param>
    /// <param name="mask">[M, K, S, S]</param>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="parameters">The parameters of the whole model.</param>
    internal static SccanSupport Support(SccanFeatures features, Value mask, SccanConfig config, Parameters parameters)
    {
        var (builder, shots, size) = (mask.Builder, config.ShotCount, config.FeatureSize);
        var objects = builder.Op("Equal", [mask.Cast(TensorElementType.Float), builder.Constant(Tensor.Scalar(1f))])
            .Cast(TensorElementType.Float);
        var masks = Resize(objects, size).Reshape(-1, 1, size, size);
        var reduced = Reduce(features, config, parameters["down_supp.0"]);
        var prototype = MeanOfShots(Prototype(reduced, masks));
        var (meanMask, meanFeatures) = (MeanOfShots(masks), MeanOfShots(reduced * CastLike(masks, reduced)));
        var tokens = Merge(meanFeatures, prototype, meanMask, config, parameters["init_merge_supp.0"]).ToChannelsLast();
        return new(
            Keys(Resize(features.Last, size)).Reshape(-1, shots, config.Backbone.Widths[3] * config.Backbone.Expansion, size * size),
            masks.Reshape(-1, shots, size * size, 1),
            prototype,
            SupportWindows(tokens, meanMask.ToChannelsLast(), config, parameters["transformer"]));

        Value MeanOfShots(Value value) => shots == 1
            ? value
            : value.Reshape([-1, shots, .. value.Shape.Skip(1).Select(dim => dim.Value)]).ReduceMean([1]);
    }

    /// <summary>The logits of queries, [N, 2, S, S].</summary>
    internal static Value Predict(SccanFeatures features, SccanSupport support, SccanConfig config, Parameters parameters)
    {
        var reduced = Reduce(features, config, parameters["down_query.0"]);
        var prior = Prior(features.Last, support.Keys, support.Masks, config.FeatureSize);
        var map = Merge(reduced, support.Prototype, prior, config, parameters["init_merge_query.0"]).ToChannelsLast();
        map = Attend(map, support.Windows, config, parameters["transformer"]);
        return Decode(map.ToChannelsFirst().Apply("Relu"), config, parameters);
    }

    /// <summary>The mean of a map's features [N, C, H, W] where the mask [N, 1, H, W] is: [N, C, 1, 1].</summary>
    internal static Value Prototype(Value features, Value mask) =>
        (Single(features) * mask).ReduceSum([2, 3], keepDims: true) / (mask.ReduceSum([2, 3], keepDims: true) + AreaEpsilon);

    /// <summary>The features of each position of [N, C, H, W] divided by their norm, [N, C, H W] in float32.</summary>
    internal static Value Keys(Value map)
    {
        var positions = Single(map).Reshape(0, 0, -1);
        return positions / (positions.Reduce("ReduceL2", [1], keepDims: true) + Epsilon);
    }

    /// <summary>
    /// What the likeness of features tells of the object: to each position of the query the mask's mean over the positions of the support,
    /// weighted by the softmax of their cosines; from 0 to 1 within each image. [N, 1, size, size], the mean over the shots.
    /// </summary>
    /// <param name="map">The query's features, [N, C, H, W].</param>
    /// <param name="keys">Those of the support as <see cref="Keys"/>, [M, K, C, P].</param>
    /// <param name="masks">[M, K, P, 1]</param>
    /// <param name="size">The height and width of the result.</param>
    internal static Value Prior(Value map, Value keys, Value masks, int size)
    {
        using var scope = map.Builder.Scope("prior");
        var (rows, columns) = (map.Shape[2].Value, map.Shape[3].Value);
        // The weights are almost the same everywhere: without the mean of the mask the small differences keep their digits.
        var deviations = masks - masks.ReduceMean([2], keepDims: true);
        // [N, K, H W, 1]
        var means = Keys(map).Unsqueeze(1).Transpose(0, 1, 3, 2).MatMul(keys).Softmax().MatMul(deviations);
        var (least, most) = (means.Reduce("ReduceMin", [2], keepDims: true), means.ReduceMax([2], keepDims: true));
        var stretched = (means - least) / (most - least + Epsilon);
        return Resize(stretched.Reshape(0, masks.Shape[1].Value, rows, columns), size).ReduceMean([1], keepDims: true);
    }

    /// <summary>
    /// The windows that the blocks of the query's branch attend to. Nothing of the query is in them.
    /// </summary>
    /// <param name="map">[M, H, W, C]</param>
    /// <param name="mask">[M, H, W, 1]</param>
    /// <param name="config">The hyper-parameters.</param>
    /// <param name="parameters">Those of the transformer.</param>
    internal static SccanWindows[] SupportWindows(Value map, Value mask, SccanConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var windows = new SccanWindows[config.BlockCount];
        for (var block = 0; block < windows.Length; block++)
        {
            var blockParameters = parameters[$"layers.0.blocks.{block}"];
            (windows[block], map) = SupportBlock(
                map, mask, WindowGrid.OfBlock(block, config, map), config, blockParameters, isLast: block == windows.Length - 1);
        }
        return windows;
    }

    /// <summary>The query's branch: [N, H, W, C] to the same.</summary>
    internal static Value Attend(Value map, SccanWindows[] support, SccanConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        for (var block = 0; block < support.Length; block++)
        {
            var blockParameters = parameters[$"layers.0.blocks.{block}"];
            map = QueryBlock(map, support[block], WindowGrid.OfBlock(block, config, map), config, blockParameters);
        }
        return map.LayerNorm(parameters["norm0"], LayerNormEpsilon);
    }

    /// <summary>A block's branch of the query: [N, H, W, C] to the same.</summary>
    internal static Value QueryBlock(Value map, SccanWindows support, WindowGrid grid, SccanConfig config, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var tokens = grid.Cut(map.LayerNorm(parameters["norm1"], LayerNormEpsilon));
        var index = Align(tokens, support);
        var attention = parameters["attn_q"];
        var attended = SelfCalibratedCrossAttention
            .Apply(QueryKeyValue(tokens, config, attention), support.KeyValue, index, config.HeadCount)
            .Linear(attention["proj"], config.Width);
        map += grid.Join(attended);
        return map + Mlp(map.LayerNorm(parameters["norm2"], LayerNormEpsilon), config, parameters["mlp_q"]);
    }

    /// <summary>
    /// A block's branch of the support: what the query attends to, and the map after it, [M, H, W, C] like the one before; of the last
    /// block nobody looks at that.
    /// </summary>
    internal static (SccanWindows Windows, Value Map) SupportBlock(
        Value map, Value mask, WindowGrid grid, SccanConfig config, Parameters parameters, bool isLast)
    {
        using var scope = parameters.Scope();
        var tokens = grid.Cut(map.LayerNorm(parameters["norm1"], LayerNormEpsilon));
        var masks = grid.Cut(mask);
        var area = masks.ReduceSum([2]);
        var keyValue = tokens.Linear(parameters["attn_q"]["kv"], 2 * config.Width, config.HasQueryKeyValueBias);
        var windows = new SccanWindows(keyValue, WindowMeans(tokens, masks, area), area);
        if (isLast)
        {
            IgnoreSupport(parameters);
            return (windows, map);
        }
        var attention = parameters["attn_s"];
        var packed = QueryKeyValue(tokens, config, attention).Reshape(-1, grid.WindowArea, 3 * config.Width);
        var attended = MultiHeadSelfAttention.Apply(packed, config.HeadCount).Linear(attention["proj"], config.Width);
        map += grid.Join(attended.Reshape(-1, grid.WindowCount, grid.WindowArea, config.Width));
        return (windows, map + Mlp(map.LayerNorm(parameters["norm2"], LayerNormEpsilon), config, parameters["mlp_s"]));
    }

    /// <summary>The means of windows [M, U, P, C] where their masks [M, U, P, 1], which add up to the area, are: [M, U, C].</summary>
    internal static Value WindowMeans(Value tokens, Value masks, Value area) =>
        (Single(tokens) * masks).ReduceSum([2]) / (area + AreaEpsilon);

    /// <summary>
    /// The most similar window of the support to each of the query, [N, W] int64: windows without an object are like none, the first of
    /// equals is taken.
    /// </summary>
    /// <param name="tokens">The query's windows, [N, W, P, C].</param>
    /// <param name="support">Those of the support.</param>
    internal static Value Align(Value tokens, SccanWindows support)
    {
        var (builder, means) = (tokens.Builder, Single(tokens).ReduceMean([2]));
        var norms = Norm(support.Means).MatMul(Norm(means).Transpose(0, 2, 1));
        var cosines = support.Means.MatMul(means.Transpose(0, 2, 1)) / (norms + Epsilon);
        var hasObject = builder.Op("Greater", [support.Area, builder.Scalar(0, support.Area)]);
        var similarities = hasObject.Where((cosines + 1) * 0.5, builder.Scalar(0, cosines));
        return builder.Op("ArgMax", [similarities], new() { ["axis"] = 1, ["keepdims"] = 0 });

        static Value Norm(Value rows) => rows.Reduce("ReduceL2", [2], keepDims: true);
    }

    /// <summary>The logits of the classes from the map behind the attention: [N, C, H, W] to [N, 2, S, S].</summary>
    internal static Value Decode(Value map, SccanConfig config, Parameters parameters)
    {
        map = Pyramid(map, parameters["ASPP_meta"]).Conv2d(parameters["res1_meta.0"], config.Width, kernel: 1, bias: false).Apply("Relu");
        var residual = parameters["res2_meta"];
        map += Convolution(Convolution(map, residual["0"]), residual["2"]);
        var classifier = parameters["cls_meta"];
        map = DropChannels(Convolution(map, classifier["0"]), config.ClassifierDropRate);
        return Resize(map.Conv2d(classifier["3"], channels: 2, kernel: 1), config.OutputSize ?? config.ImageSize);

        Value Convolution(Value value, Parameters parameters) =>
            value.Conv2d(parameters, config.Width, kernel: 3, padding: 1, bias: false).Apply("Relu");
    }

    /// <summary>The mean of the map and convolutions of several dilations, side by side: [N, C, H, W] to [N, 5 C, H, W].</summary>
    internal static Value Pyramid(Value map, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var (builder, channels) = (map.Builder, map.Shape[1].Value);
        return builder.Concat(
            1,
            Branch(map.ReduceMean([2, 3], keepDims: true), "layer6_0.0", kernel: 1).Expand(map.ShapeOf()),
            Branch(map, "layer6_1.0", kernel: 1),
            Branch(map, "layer6_2.0", kernel: 3, dilation: 6),
            Branch(map, "layer6_3.0", kernel: 3, dilation: 12),
            Branch(map, "layer6_4.0", kernel: 3, dilation: 18));

        Value Branch(Value value, string name, int kernel, int dilation = 1)
        {
            var branch = parameters[name];
            using var scope = branch.Scope();
            var inputs = channels * kernel * kernel;
            var weight = branch.Get("weight", Initialization.FanOut(inputs), channels, channels, kernel, kernel);
            var bias = branch.Get("bias", Initialization.FanIn(inputs), channels);
            return value.Conv2d(weight, bias, padding: kernel / 2 * dilation, dilation: dilation).Apply("Relu");
        }
    }

    // The two maps in the middle of the backbone, reduced: [N, C, H, W] to [N, width, size, size].
    private static Value Reduce(SccanFeatures features, SccanConfig config, Parameters parameters)
    {
        var joined = features.Last.Builder.Concat(1, features.Second, features.Third);
        var reduced = joined.Conv2d(parameters, config.Width, kernel: 1, bias: false).Apply("Relu");
        return Resize(DropChannels(reduced, config.FeatureDropRate), config.FeatureSize);
    }

    // [N, width, size, size] with the prototype [M, width, 1, 1] and a mask of one channel.
    private static Value Merge(Value features, Value prototype, Value mask, SccanConfig config, Parameters parameters) =>
        features.Builder.Concat(1, features, CastLike(prototype, features).Expand(features.ShapeOf()), CastLike(mask, features))
            .Conv2d(parameters, config.Width, kernel: 1, bias: false);

    private static Value QueryKeyValue(Value tokens, SccanConfig config, Parameters attention) => tokens.JoinedLinear(
        config.HasQueryKeyValueBias, (attention["q"], config.Width), (attention["kv"], 2 * config.Width));

    private static Value Mlp(Value value, SccanConfig config, Parameters parameters)
    {
        var hidden = (long)(config.MlpRatio * config.Width);
        return value.Linear(parameters["fc1"], hidden).Gelu()
            .Linear(parameters["fc2"], config.Width);
    }

    /// <summary>Resizes [N, C, H, W] bilinearly, corners on corners.</summary>
    internal static Value Resize(Value map, int size)
    {
        if (map.Shape[2] == size && map.Shape[3] == size)
            return map;
        var builder = map.Builder;
        return builder.Op("Resize", [map, null, null, builder.Concat(0, map.ShapeOf(0, 2), builder.Int64(size, size))], new()
        {
            ["mode"] = "linear",
            ["coordinate_transformation_mode"] = "align_corners",
        });
    }

    private static Value Single(Value value) => value.Cast(TensorElementType.Float);

    private static Value CastLike(Value value, Value like) => value.Builder.Op("CastLike", [value, like]);

    // Channels are dropped like the branches of examples.
    private static Value DropChannels(Value map, float probability) => probability == 0
        ? map
        : DropPath.Apply(map.Reshape(-1, 1, map.Shape[2].Value, map.Shape[3].Value), probability)
            .Reshape([-1, .. map.Shape.Skip(1).Select(dim => dim.Value)]);

    private static Value Image(GraphBuilder builder, SccanConfig config) =>
        builder.Input("x", TensorElementType.Float, ["N", config.Backbone.InputChannels, config.ImageSize, config.ImageSize]);

    private static (Value Images, Value Mask) SupportInputs(GraphBuilder builder, SccanConfig config, string batch)
    {
        var (shots, size) = (config.ShotCount, config.ImageSize);
        return (
            builder.Input("support", TensorElementType.Float, [batch, shots, config.Backbone.InputChannels, size, size]),
            builder.Input("mask", TensorElementType.UInt8, [batch, shots, size, size]));
    }

    // The biases of keys must not be zero: a position in the border of zeros has only them, and a cosine is steep where a key is small.
    private static Parameters NewParameters(GraphBuilder builder, WeightSource weights, SccanConfig config) => new(builder, weights)
    {
        LinearInitialization = Initialization.FanIn(config.Width),
        LinearBiasInitialization = Initialization.FanIn(config.Width),
    };

    private static OnnxModel Finish(GraphBuilder builder, Parameters parameters)
    {
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    // Nobody looks at what the last block would make of the support.
    private static void IgnoreSupport(Parameters block)
    {
        foreach (var layer in new[] { "attn_s.q", "attn_s.kv", "attn_s.proj", "mlp_s.fc1", "mlp_s.fc2" })
        {
            block[layer].Ignore("weight");
            block[layer].Ignore("bias");
        }
    }

    private static bool IsOfSupportOnly(string parameter) => parameter.Split('.').Any(SupportModules.Contains);

    private static bool IsOfSupport(string parameter, SccanConfig config) =>
        IsOfSupportOnly(parameter)
        || parameter.StartsWith("backbone.", StringComparison.Ordinal)
        || parameter.Contains(".norm1.", StringComparison.Ordinal)
        || parameter.Contains(".attn_q.kv.", StringComparison.Ordinal)
        || (parameter.Contains(".norm2.", StringComparison.Ordinal)
            && !parameter.Contains($".blocks.{config.BlockCount - 1}.", StringComparison.Ordinal));

    private static ResNetConfig DeepResNet(params int[] depths) =>
        new() { Block = ResNetBlock.Bottleneck, Stem = ResNetStem.Deep, Depths = depths };
}

/// <summary>The maps of a backbone's last three stages, [N I, C, H, W] each, of N times I images.</summary>
internal sealed record SccanFeatures(Value Second, Value Third, Value Last, int ImageCount)
{
    /// <summary>Those of some of each I images.</summary>
    public SccanFeatures Slice(int start, int end)
    {
        return new(Of(Second), Of(Third), Of(Last), end - start);

        Value Of(Value map)
        {
            long[] dims = [.. map.Shape.Skip(1).Select(dim => dim.Value)];
            return map.Reshape([-1, ImageCount, .. dims]).Slice(1, start, end).Reshape([-1, .. dims]);
        }
    }
}

/// <summary>What queries need to know of support images.</summary>
/// <param name="Keys">The last features at each position, of norm 1, [M, K, C, P].</param>
/// <param name="Masks">Where the object is, [M, K, P, 1].</param>
/// <param name="Prototype">The mean features of the object, [M, width, 1, 1].</param>
/// <param name="Windows">What each block attends to.</param>
internal sealed record SccanSupport(Value Keys, Value Masks, Value Prototype, SccanWindows[] Windows)
{
    /// <summary>All values with their names as outputs of one model and inputs of the other.</summary>
    public IEnumerable<(string Name, Value Value)> Values =>
    [
        ("support_keys", Keys), ("support_masks", Masks), ("prototype", Prototype),
        .. Windows.SelectMany((windows, block) => new[]
        {
            ($"windows.{block}.key_value", windows.KeyValue), ($"windows.{block}.means", windows.Means),
            ($"windows.{block}.area", windows.Area),
        }),
    ];

    /// <summary>The values as inputs of a graph.</summary>
    public static SccanSupport Inputs(GraphBuilder builder, SccanConfig config) => Of(
        config, (name, dims) => builder.Input(name, TensorElementType.Float, ["M", .. dims.Select(dim => (Dim)dim)]));

    /// <summary>The values by name and sizes behind M.</summary>
    public static SccanSupport Of(SccanConfig config, Func<string, long[], Value> find)
    {
        var (width, positions) = (config.Width, config.FeatureSize * config.FeatureSize);
        return new(
            find("support_keys", [config.ShotCount, config.Backbone.Widths[3] * config.Backbone.Expansion, positions]),
            find("support_masks", [config.ShotCount, positions, 1]),
            find("prototype", [width, 1, 1]),
            [.. Enumerable.Range(0, config.BlockCount).Select(OfBlock)]);

        SccanWindows OfBlock(int block)
        {
            var grid = WindowGrid.OfBlock(block, config, config.FeatureSize, config.FeatureSize);
            return new(
                find($"windows.{block}.key_value", [grid.WindowCount, grid.WindowArea, 2 * width]),
                find($"windows.{block}.means", [grid.WindowCount, width]),
                find($"windows.{block}.area", [grid.WindowCount, 1]));
        }
    }
}

/// <summary>What U windows of the support, of P positions each, offer to the query's windows.</summary>
/// <param name="KeyValue">Keys, then values, [M, U, P, 2 C].</param>
/// <param name="Means">The mean of each where the object is, [M, U, C].</param>
/// <param name="Area">How much of the object is in each, [M, U, 1].</param>
internal sealed record SccanWindows(Value KeyValue, Value Means, Value Area);

/// <summary>How a map is cut into square windows that do not overlap. Shifted ones are those of the map with a border of zeros.</summary>
internal sealed record WindowGrid(int Size, int Shift, long Height, long Width)
{
    private long Border => Shift > 0 ? Size : 0;

    private long Rows => (Height + Border) / Size;

    private long Columns => (Width + Border) / Size;

    public long WindowCount => Rows * Columns;

    public long WindowArea => (long)Size * Size;

    public static WindowGrid OfBlock(int block, SccanConfig config, long height, long width) =>
        new(config.WindowSize, block % 2 == 0 ? 0 : config.WindowSize / 2, height, width);

    public static WindowGrid OfBlock(int block, SccanConfig config, Value map) =>
        OfBlock(block, config, map.Shape[1].Value, map.Shape[2].Value);

    /// <summary>[N, H, W, C] to [N, windows, P, C].</summary>
    public Value Cut(Value map)
    {
        var channels = map.Shape[3].Value;
        var padded = Shift == 0 ? map : map.Pad(0, Shift, Shift, 0, 0, Size - Shift, Size - Shift, 0);
        return padded.Reshape(-1, Rows, Size, Columns, Size, channels).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(-1, WindowCount, WindowArea, channels);
    }

    /// <summary>[N, windows, P, C] to [N, H, W, C].</summary>
    public Value Join(Value windows)
    {
        var (builder, channels) = (windows.Builder, windows.Shape[3].Value);
        var padded = windows.Reshape(-1, Rows, Columns, Size, Size, channels).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(-1, Rows * Size, Columns * Size, channels);
        return Shift == 0
            ? padded
            : builder.Op(
                "Slice", [padded, builder.Int64(Shift, Shift), builder.Int64(Shift + Height, Shift + Width), builder.Int64(1, 2)]);
    }
}
