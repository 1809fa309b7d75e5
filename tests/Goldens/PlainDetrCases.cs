using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>Plain DETR: whole detectors with post-processing, and their parts on their own.</summary>
internal sealed partial class PlainDetrCases : IGoldenModel
{
    public string Name => "plain-detr";

    public OnnxModel Build(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        switch (golden.Variant)
        {
            case var variant when variant.StartsWith("cross-attention op", StringComparison.Ordinal):
                CrossAttention(builder, golden, parameters);
                break;
            case var variant when variant.StartsWith("decoder layer", StringComparison.Ordinal):
                DecoderLayer(builder, golden, parameters);
                break;
            case var variant when variant.StartsWith("whole decoder", StringComparison.Ordinal):
                // The case has no classifiers; what they compute is not looked at.
                var others = new RandomWeights(0);
                parameters = new(
                    builder, golden.Weights.Replace(name => name.StartsWith("class_embed.", StringComparison.Ordinal), others));
                Decoder(builder, golden, parameters);
                break;
            case var variant when variant.StartsWith("4-level proposal generation", StringComparison.Ordinal):
                Proposals(builder, golden, parameters);
                break;
            case "box re-parameterisation":
                BoxCodes(builder, golden);
                break;
            case var variant when variant.StartsWith("post-processing", StringComparison.Ordinal):
                PostProcessing(builder, golden);
                break;
            case "position embedding of the feature map":
                MapPositions(builder, golden);
                break;
            case "sine embedding of proposal boxes":
                foreach (var kind in new[] { "norm", "pixel" })
                    builder.Output(kind, PlainDetr.BoxEmbedding(Input(builder, golden, kind + "_boxes"), Int(golden.Config, "d_model")));
                break;
            case var _ when golden.Config.TryGetProperty("backbone", out _):
                if (golden.Description.TryGetProperty("loss_names", out _))
                    TrainingStep(builder, golden, parameters);
                else
                    Detector(builder, golden, parameters);
                break;
            default:
                throw new NotSupportedException($"variant '{golden.Variant}' of {Name} is not known");
        }
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    /// <summary>Detections of nearly the same score may come in any order.</summary>
    public IReadOnlyDictionary<string, Tensor> Align(GoldenCase golden, IReadOnlyDictionary<string, Tensor> outputs)
    {
        var aligned = outputs.ToDictionary();
        for (var image = 0; golden.Expected.TryGetValue($"output:post_boxes{image}", out var expected); image++)
        {
            string[] names = [$"post_scores{image}", $"post_labels{image}", $"post_boxes{image}"];
            var order = Match(
                expected.AsSpan<float>().ToArray(), golden.Expected["output:" + names[1]].ToInt64(),
                outputs[names[2]].AsSpan<float>().ToArray(), outputs[names[1]].ToInt64());
            foreach (var name in names)
                aligned[name] = InOrder(outputs[name], order);
        }
        return aligned;
    }

    // For each expected detection the nearest of its class that is not taken yet; the place itself where there is none.
    private static int[] Match(float[] expectedBoxes, long[] expectedLabels, float[] boxes, long[] labels)
    {
        var isTaken = new bool[labels.Length];
        var order = new int[labels.Length];
        for (var i = 0; i < order.Length; i++)
        {
            var candidates = Enumerable.Range(0, labels.Length).Where(j => !isTaken[j] && labels[j] == expectedLabels[i]);
            order[i] = candidates.DefaultIfEmpty(i).MinBy(j => Enumerable.Range(0, 4)
                .Sum(side => Math.Abs(boxes[(4 * j) + side] - expectedBoxes[(4 * i) + side])));
            isTaken[order[i]] = true;
        }
        return order;
    }

    private static Tensor InOrder(Tensor rows, int[] order)
    {
        var length = rows.Data.Length / order.Length;
        var bytes = order.SelectMany(row => rows.Data.Slice(row * length, length).ToArray()).ToArray();
        return new(rows.Type, [.. rows.Dims], bytes);
    }

    private static void Detector(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Config(golden.Config);
        var (image, size) = Batch(builder, golden);
        var originalSize = Sizes(builder, golden, "orig_target_sizes_hw");
        // Where proposals of nearly the same score compete, the case's ranks are taken: rounding decides which query a proposal gets.
        var isClose = golden.Description.TryGetProperty("close_ranks", out var close)
            && close.GetProperty("per_image").EnumerateArray().Any(ranks => ranks.GetArrayLength() > 0);
        var given = isClose ? builder.Constant(ToInt64(golden.Expected["mid:topk_proposals"])) : null;
        var predictions = PlainDetr.Predict(image, size, config, parameters, isTraining: false, given);
        var inner = predictions.Internals;
        var last = predictions.Layers[^1];

        var steps = new StoredSteps(golden.Description.GetProperty("stored"));
        builder.Output("pred_logits", last.Logits.Slice(1, 0, long.MaxValue, steps.Logits));
        builder.Output("pred_boxes", last.Boxes);
        builder.Output("mid:backbone", steps.OfBackbone(inner.Features));
        builder.Output("mid:upsampled", steps.OfMap(inner.Upsampled));
        builder.Output("mid:src", steps.OfMap(inner.Map));
        var levelEmbedding = parameters["transformer"].Get("level_embed", Initialization.Zeros, 1, config.Width);
        builder.Output("mid:pos", steps.OfMap(inner.Positions - levelEmbedding.Reshape(1, config.Width, 1, 1)));
        builder.Output("mid:enc_logit0", inner.Selection.Scores.Slice(1, 0, long.MaxValue, steps.Proposals));
        builder.Output("mid:topk_proposals", inner.Selection.Scores.TopK(builder.Int64(config.QueryCount), axis: 1).Indices);
        builder.Output("mid:reference_points", inner.Selection.Reference);
        builder.Output("mid:hs", Stack(predictions.Layers, layer => layer.Features!
            .Slice(1, 0, long.MaxValue, steps.Queries).Slice(2, 0, long.MaxValue, steps.Channels)));
        builder.Output("mid:inter_boxes", Stack(predictions.Layers, layer => layer.Boxes.Slice(1, 0, long.MaxValue, steps.Boxes)));

        var (scores, classes, boxes) = PlainDetr.PostProcess(
            last, size, originalSize, config, golden.Description.GetProperty("topk").GetInt32());
        for (var i = 0; i < golden.Description.GetProperty("target_sizes_hw").GetArrayLength(); i++)
        {
            builder.Output($"post_scores{i}", OfImage(scores, i));
            builder.Output($"post_labels{i}", OfImage(classes, i));
            builder.Output($"post_boxes{i}", OfImage(boxes, i));
        }

        static Value OfImage(Value values, int image) => values.Slice(0, image, image + 1).Squeeze(0);
    }

    private static void TrainingStep(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Config(golden.Config);
        var (image, size) = Batch(builder, golden);
        var predictions = PlainDetr.Predict(image, size, config, parameters, isTraining: true);
        var (last, first, proposals) = (predictions.Layers[^1], predictions.Layers[0], predictions.Proposals!);
        var all = config.QueryCount + config.AuxiliaryQueryCount;
        builder.Output("pred_logits", last.Logits.Slice(1, 0, config.QueryCount));
        builder.Output("pred_boxes", last.Boxes.Slice(1, 0, config.QueryCount));
        builder.Output("pred_logits_one2many", last.Logits.Slice(1, config.QueryCount, all));
        builder.Output("pred_boxes_one2many", last.Boxes.Slice(1, config.QueryCount, all));
        builder.Output("aux_logits0", first.Logits.Slice(1, 0, config.QueryCount));
        builder.Output("aux_boxes0", first.Boxes.Slice(1, 0, config.QueryCount));
        builder.Output("enc_boxes", proposals.Boxes);
        builder.Output("pred_deltas", last.Deltas.Slice(1, 0, config.QueryCount));
        builder.Output("pred_boxes_old", last.Previous.Slice(1, 0, config.QueryCount));
        builder.Output("mid:topk_proposals", predictions.Internals.Selection.Best);
        builder.Output("mid:reference_points", predictions.Internals.Selection.Reference);

        var targets = Targets(builder, golden);
        var copyCount = golden.Description.GetProperty("k_one2many").GetInt32();
        var loss = new DetectionLoss(config, targets, copyCount);
        var outputs = predictions.Layers.SelectMany((layer, i) => Named(layer, $"layer{i}")).Concat(Named(proposals, "proposals"))
            .ToDictionary();
        builder.Output("total_weighted", loss.Of(outputs).Reshape(1));
        for (var i = 0; i < targets.Count.Shape[0].Value; i++)
        {
            var count = golden.Inputs[$"target_labels{i}"].ElementCount;
            builder.Output($"mid:match_query{i}", loss.LastMatch!.Slice(0, i, i + 1).Squeeze(0).Slice(0, 0, count));
        }
        var names = golden.Description.GetProperty("loss_names").EnumerateArray().Select(name => name.GetString()!);
        builder.Output("losses", builder.Concat(0, [.. names.Select(name => Term(name).Reshape(1))]));

        // Two terms are for the log only: the share of wrong classes, and how far the number of detections is off.
        Value Term(string name)
        {
            if (loss.Terms.TryGetValue(name, out var term))
                return term;
            var isMany = name.EndsWith("_one2many", StringComparison.Ordinal);
            var isProposals = name.EndsWith("_enc", StringComparison.Ordinal);
            var layer = isProposals ? proposals : name.Contains("_0", StringComparison.Ordinal) ? first : last;
            var logits = isProposals ? layer.Logits
                : layer.Logits.Slice(1, isMany ? config.QueryCount : 0, isMany ? all : config.QueryCount);
            var best = builder.Op("ArgMax", [logits], new() { ["axis"] = 2, ["keepdims"] = 0 });
            if (name.StartsWith("cardinality", StringComparison.Ordinal))
            {
                var isFound = builder.Op("Less", [best, builder.Int64(config.ClassCount - 1)]).Cast(TensorElementType.Float).ReduceSum([1]);
                var wanted = targets.Count.Cast(TensorElementType.Float) * (isMany ? copyCount : 1);
                return (isFound - wanted).Apply("Abs").ReduceMean([0]);
            }
            var match = isMany ? loss.LastAuxiliaryMatch! : loss.LastMatch!;
            var matched = isMany ? targets.Repeat(copyCount) : targets;
            var chosen = best.GatherElements(builder.Op("Max", [match, builder.Int64(0)]), 1);
            var isRight = builder.Op("Equal", [chosen, matched.Classes]).Cast(TensorElementType.Float) * matched.IsPresent;
            return (1 - (isRight.ReduceSum([0, 1]) / matched.IsPresent.ReduceSum([0, 1]))) * 100;
        }

        static IEnumerable<KeyValuePair<string, Value>> Named(BoxPredictions layer, string stage) =>
        [
            new(stage + "/logits", layer.Logits), new(stage + "/boxes", layer.Boxes),
            new(stage + "/deltas", layer.Deltas), new(stage + "/previous", layer.Previous),
        ];
    }

    // The case's targets, filled up to as many in each image.
    private static DetectionTargets Targets(GraphBuilder builder, GoldenCase golden)
    {
        var images = Enumerable.Range(0, (int)golden.Description.GetProperty("padded_shape")[0].GetInt64()).ToArray();
        var counts = images.Select(i => golden.Inputs[$"target_labels{i}"].ElementCount).ToArray();
        var most = counts.Max() + 1;
        var (boxes, classes) = (new float[images.Length * most * 4], new long[images.Length * most]);
        Array.Fill(boxes, 0.5f);
        foreach (var i in images)
        {
            golden.Inputs[$"target_boxes{i}"].AsSpan<float>().CopyTo(boxes.AsSpan((int)(i * most * 4)));
            golden.Inputs[$"target_labels{i}"].ToInt64().CopyTo(classes.AsSpan((int)(i * most)));
        }
        return new(
            builder.Constant(Tensor.Create<float>(boxes, images.Length, most, 4)),
            builder.Constant(Tensor.Create<long>(classes, images.Length, most)),
            builder.Constant(Tensor.Int64(counts)));
    }

    private static void CrossAttention(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = golden.Config;
        var query = Input(builder, golden, "query");
        var map = Map(builder, golden, Input(builder, golden, "value"), Input(builder, golden, "key"));
        var boxes = golden.Inputs.ContainsKey("reference_points") ? Input(builder, golden, "reference_points").Squeeze(2) : query;
        var decoder = Decoder(config, Int(config, "dim"), Int(config, "num_heads"));
        builder.Output("out", PlainDetr.CrossAttention(query, boxes, map, decoder, parameters));
    }

    private static void DecoderLayer(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = golden.Config;
        var source = Input(builder, golden, "src");
        var map = Map(builder, golden, source, source + Input(builder, golden, "src_pos"));
        var content = Input(builder, golden, "tgt");
        var boxes = golden.Inputs.ContainsKey("reference_points") ? Input(builder, golden, "reference_points").Squeeze(2) : content;
        var mask = golden.Inputs.ContainsKey("self_attn_mask")
            ? Input(builder, golden, "self_attn_mask").Where(
                builder.Constant(Tensor.Scalar(float.NegativeInfinity)), builder.Constant(Tensor.Scalar(0f)))
            : null;
        builder.Output("out", PlainDetr.DecoderLayer(
            content, Input(builder, golden, "query_pos"), boxes, map, mask,
            Decoder(config, Int(config, "d_model"), Int(config, "n_heads")), parameters));
    }

    private static void Decoder(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Decoder(golden.Config, Int(golden.Config, "d_model"), Int(golden.Config, "n_heads"));
        var memory = Input(builder, golden, "memory");
        var map = Map(builder, golden, memory, memory + Input(builder, golden, "pos"));
        var maxSize = config.IsReparameterized ? map.Extent.Cast(TensorElementType.Float) * config.Stride : null;
        var layers = PlainDetr.Decode(
            Input(builder, golden, "tgt"), Input(builder, golden, "query_pos"), Input(builder, golden, "reference_points"), map, maxSize,
            null, config, parameters, parameters["class_embed"], parameters["bbox_embed"], isTraining: false);
        builder.Output("hs", Stack(layers, layer => layer.Features!));
        builder.Output("boxes", Stack(layers, layer => layer.Boxes));
    }

    private static void Proposals(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Decoder(golden.Config, Int(golden.Config, "d_model"), headCount: 1);
        var size = golden.Inputs["mask"].Dims;
        var map = Input(builder, golden, "memory").Transpose(0, 2, 1).Reshape(0, 0, size[1], size[2]);
        var extent = Extent(builder, golden.Inputs["mask"], size[1], size[2]);
        var proposals = PlainDetr.Propose(map, extent, config, parameters);
        builder.Output("proposals", proposals.Candidates);
        builder.Output("output_memory", proposals.Memory.Slice(1, 0, long.MaxValue, 4));
        builder.Output("valid_ratio", extent.Cast(TensorElementType.Float).Gather(builder.Int64(1, 0), 1)
            / builder.Constant(Tensor.Create<float>([size[2], size[1]], 2)));
        if (proposals.MaxSize is { } maxSize)
            builder.Output("max_shape_hw", maxSize.Cast(TensorElementType.Int64));
    }

    private static void BoxCodes(GraphBuilder builder, GoldenCase golden)
    {
        var (boxes, deltas) = (Input(builder, golden, "boxes"), Input(builder, golden, "deltas"));
        var maxSize = Input(builder, golden, "max_hw");
        builder.Output("xyxy", BoxCoding.DecodeCorners(boxes, deltas, maxSize));
        builder.Output("cxcywh", BoxCoding.Decode(boxes, deltas, maxSize));
        builder.Output("target_deltas", BoxCoding.Encode(boxes, Input(builder, golden, "gt")));
    }

    private static void PostProcessing(GraphBuilder builder, GoldenCase golden)
    {
        var config = Config(golden.Config) with { ClassCount = Int(golden.Config, "num_classes") };
        var (logits, size, originalSize) =
            (Input(builder, golden, "logits"), Input(builder, golden, "resized_hw"), Input(builder, golden, "orig_hw"));
        foreach (var (prefix, input) in new[] { ("", "boxes_norm"), ("reparam_", "boxes_pixel") })
        {
            var given = Input(builder, golden, input);
            var (scores, classes, boxes) = PlainDetr.PostProcess(
                new(logits, given, given, given), size, originalSize, config with { IsReparameterized = prefix.Length > 0 },
                Int(golden.Config, "topk"));
            if (prefix.Length == 0)
                builder.Output("scores", scores);
            builder.Output(prefix + "labels", classes);
            builder.Output(prefix + "boxes", boxes);
        }
    }

    private static void MapPositions(GraphBuilder builder, GoldenCase golden)
    {
        var mask = golden.Inputs["mask"];
        var map = Input(builder, golden, "mask").Unsqueeze(1);
        var extent = Extent(builder, mask, mask.Dims[1], mask.Dims[2]);
        var count = Int(golden.Config, "num_pos_feats");
        builder.Output("sine", PlainDetr.MapPositions(map, extent, count, isUnscaled: false));
        builder.Output("sine_unnorm", PlainDetr.MapPositions(map, extent, count, isUnscaled: true));
    }

    // The images in the upper left corners of the smallest common size, and their sizes.
    private static (Value Image, Value Size) Batch(GraphBuilder builder, GoldenCase golden)
    {
        var padded = golden.Description.GetProperty("padded_shape").EnumerateArray().Select(size => size.GetInt64()).ToArray();
        var images = Enumerable.Range(0, (int)padded[0]).Select(i =>
        {
            var dims = golden.Inputs[$"image{i}"].Dims;
            return Input(builder, golden, $"image{i}").Pad(0, 0, 0, 0, padded[2] - dims[1], padded[3] - dims[2]).Unsqueeze(0);
        });
        return (builder.Concat(0, [.. images]), Sizes(builder, golden, "target_sizes_hw"));
    }

    private static Value Sizes(GraphBuilder builder, GoldenCase golden, string property)
    {
        var sizes = golden.Description.GetProperty(property).EnumerateArray()
            .SelectMany(size => size.EnumerateArray().Select(side => side.GetInt64())).ToArray();
        return builder.Constant(Tensor.Create<long>(sizes, sizes.Length / 2, 2));
    }

    private static DetectionMap Map(GraphBuilder builder, GoldenCase golden, Value values, Value keys)
    {
        var (height, width) = (Int(golden.Config, "h"), Int(golden.Config, "w"));
        var mask = golden.Inputs.GetValueOrDefault("padding_mask") ?? golden.Inputs.GetValueOrDefault("mask")
            ?? Tensor.Create(new bool[values.Shape[0].Value * height * width], values.Shape[0].Value, height * width);
        return new(values, keys, builder.Int64(height), builder.Int64(width), Extent(builder, mask, height, width));
    }

    // The rows and columns that are not masked; masks are rectangles.
    private static Value Extent(GraphBuilder builder, Tensor mask, long height, long width)
    {
        var batch = mask.ElementCount / (height * width);
        var extent = new long[2 * batch];
        var isMasked = mask.AsSpan<bool>();
        for (var i = 0; i < batch; i++)
        {
            var image = isMasked.Slice((int)(i * height * width), (int)(height * width));
            for (var y = 0; y < height; y++)
                extent[2 * i] += image[(int)(y * width)] ? 0 : 1;
            for (var x = 0; x < width; x++)
                extent[(2 * i) + 1] += image[x] ? 0 : 1;
        }
        return builder.Constant(Tensor.Create<long>(extent, batch, 2));
    }

    private static Value Input(GraphBuilder builder, GoldenCase golden, string name)
    {
        var tensor = golden.Inputs[name];
        return builder.Graph.Inputs.Contains(name) ? builder[name] : builder.Input(name, tensor.Type, tensor.Shape);
    }

    private static Value Stack(IReadOnlyList<BoxPredictions> layers, Func<BoxPredictions, Value> select)
    {
        var values = layers.Select(layer => select(layer).Unsqueeze(0)).ToArray();
        return values[0].Builder.Concat(0, values);
    }

    private static Tensor ToInt64(Tensor tensor) => Tensor.Create<long>(tensor.ToInt64(), [.. tensor.Dims]);

    // Of cases that have a decoder, or a part of one.
    private static PlainDetrConfig Decoder(JsonElement config, int width, int headCount) => Config(config) with
    {
        Width = width,
        HeadCount = headCount,
        MlpWidth = Int(config, "d_ffn", 2048),
        LayerCount = Int(config, "layers", 6),
        BoxBias = !config.TryGetProperty("rpe_hidden_dim", out _) ? BoxBias.None
            : config.TryGetProperty("rpe_type", out var type) && type.GetString() == "abs_log8" ? BoxBias.Logarithmic
            : BoxBias.Linear,
        BoxBiasWidth = Int(config, "rpe_hidden_dim", 512),
        IsPostNorm = config.TryGetProperty("norm_type", out var norm) && norm.GetString() == "post_norm",
        Stride = Int(config, "feature_stride", Int(config, "proposal_in_stride", 16)),
    };

    private static PlainDetrConfig Config(JsonElement config) => new()
    {
        Backbone = config.TryGetProperty("backbone", out var backbone) ? Backbone(backbone) : PlainDetr.Variants.Values.First().Backbone,
        ClassCount = Int(config, "num_classes", 91),
        Width = Int(config, "hidden_dim", 256),
        HeadCount = Int(config, "nheads", 8),
        MlpWidth = Int(config, "dim_feedforward", 2048),
        LayerCount = Int(config, "dec_layers", 6),
        QueryCount = Int(config, "num_queries_one2one", 300),
        AuxiliaryQueryCount = Int(config, "num_queries_one2many", 1500),
        BoxBias = config.TryGetProperty("decoder_type", out var type) && type.GetString() == "global_ape" ? BoxBias.None : BoxBias.Linear,
        BoxBiasWidth = Int(config, "decoder_rpe_hidden_dim", 512),
        IsReparameterized = config.TryGetProperty("reparam", out var reparam) && reparam.GetBoolean(),
        HasUnscaledPositions = config.TryGetProperty("position_embedding", out var positions) && positions.GetString() == "sine_unnorm",
        Stride = Int(config, "proposal_in_stride", 16),
        ProposalSize = Int(config, "proposal_min_size", 50),
    };

    private static SwinV2Config Backbone(JsonElement config) => new()
    {
        Width = Int(config, "embed_dim"),
        Depths = Ints(config, "depths"),
        HeadCounts = Ints(config, "num_heads"),
        WindowSize = Int(config, "window_size"),
        PretrainedWindowSizes = Ints(config, "pretrained_window_size"),
        IsGlobal = [.. config.GetProperty("global_blocks").EnumerateArray().Select(blocks => blocks[0].GetInt32() >= 0)],
        MlpRatio = Int(config, "mlp_ratio"),
        PatchSize = Int(config, "patch_size"),
    };

    private static int Int(JsonElement config, string name) => config.GetProperty(name).GetInt32();

    private static int Int(JsonElement config, string name, int defaultValue) =>
        config.TryGetProperty(name, out var value) ? value.GetInt32() : defaultValue;

    private static int[] Ints(JsonElement config, string name) =>
        [.. config.GetProperty(name).EnumerateArray().Select(element => element.GetInt32())];

    /// <summary>Every how many elements along each axis a whole-model case keeps, from its description.</summary>
    private sealed partial class StoredSteps
    {
        private readonly int[] _backbone, _maps;

        public StoredSteps(JsonElement stored)
        {
            var steps = Numbers(StepsOfMaps().Match(stored.GetProperty("mid:*").GetString()!));
            (_backbone, _maps) = (steps[..3], steps[3..6]);
            (Proposals, Queries, Channels, Boxes) = (steps[6], steps[7], steps[8], steps[9]);
            Logits = Numbers(StepOfLogits().Match(stored.GetProperty("pred_logits").GetString()!)) is [var step] ? step : 1;
        }

        public int Logits { get; }

        public int Proposals { get; }

        public int Queries { get; }

        public int Channels { get; }

        public int Boxes { get; }

        public Value OfBackbone(Value map) => Of(map, _backbone);

        public Value OfMap(Value map) => Of(map, _maps);

        private static Value Of(Value map, int[] steps)
        {
            for (var axis = 1; axis <= 3; axis++)
                map = map.Slice(axis, 0, long.MaxValue, steps[axis - 1]);
            return map;
        }

        private static int[] Numbers(Match match) =>
        [
            .. match.Groups.Values.Skip(1).Where(group => group.Success)
                .Select(group => int.Parse(group.Value, CultureInfo.InvariantCulture)),
        ];

        [GeneratedRegex(@"\[(\d+), (\d+), (\d+)\] for backbone, \[(\d+), (\d+), (\d+)\].*every (\d+);.*::(\d+), ::(\d+)\].*::(\d+)\]")]
        private static partial Regex StepsOfMaps();

        [GeneratedRegex(@"every (\d+)th")]
        private static partial Regex StepOfLogits();
    }
}
