using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>SCCAN: whole models, the stack of attention blocks, and all parts on their own.</summary>
internal sealed partial class SccanCases : IGoldenModel
{
    public string Name => "sccan";

    public OnnxModel Build(GoldenCase golden) => golden.Variant switch
    {
        "patch alignment (generate_indices + gather)" => Part(golden, Alignment),
        "ASPP" => Part(golden, Pyramid),
        "CrossWindowAttention" => Part(golden, Attention),
        "SCCA block" => Part(golden, Block),
        "SwinTransformer (stack of SCCA blocks + final LayerNorm)" => Part(golden, Stack),
        "Weighted_GAP (masked average pooling)" => Part(golden, Prototype),
        "WeightedDiceLoss" => Part(golden, DiceLoss),
        "generate_prior (pseudo mask aggregation)" => Part(golden, Prior),
        _ when golden.Config.TryGetProperty("layers", out _) => Whole(golden),
        _ when SccanPictureCases.Knows(golden) => SccanPictureCases.Build(golden),
        var variant => throw new NotSupportedException($"variant '{variant}' of {Name} is not known"),
    };

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) => golden.Config.TryGetProperty("layers", out _)
        ? new Dictionary<string, Tensor>
        {
            ["x"] = Enlarge(golden.Inputs["x_grid"], ImageSize(golden)),
            ["support"] = Enlarge(golden.Inputs["s_x_grid"], ImageSize(golden)),
            ["mask"] = Enlarge(golden.Inputs["s_y_grid"], ImageSize(golden)),
        }
        : SccanPictureCases.Knows(golden) ? SccanPictureCases.Prepare(golden) : golden.Inputs;

    private static OnnxModel Whole(GoldenCase golden)
    {
        var model = Sccan.Build(Config(golden.Config, ImageSize(golden)), golden.Weights);
        var (graph, expected) = (model.Graph, golden.Expected);
        graph.Nodes.RemoveAll(node => node.Outputs[0] == "logits");
        graph.Outputs.Clear();
        var builder = new GraphBuilder(graph);
        var classifier = builder[Find("3/", "Conv").Outputs[0]];
        var step = int.Parse(
            Step().Match(golden.Description.GetProperty("outputs").GetProperty("y").GetProperty("stored").GetString()!).ValueSpan,
            CultureInfo.InvariantCulture);
        builder.Output("y", Every(step, builder[graph.Nodes[^1].Outputs[0]], 2, 3));

        var (query, support) = (Find("init_merge_query.0/", "Conv"), Find("init_merge_supp.0/", "Conv"));
        var (queryParts, supportParts) = (Producer(query.Inputs[0]), Producer(support.Inputs[0]));
        // Not the prior: its last digits are those of rounding, in the published code too. It has cases of its own.
        builder.Output("mid:supp_pro", builder[Producer(queryParts.Inputs[1]).Inputs[0]].Reshape(0, -1));
        Map("supp_mask", builder[supportParts.Inputs[2]]);
        Map("swin_q_in", builder[query.Outputs[0]]);
        Map("swin_s_in", builder[support.Outputs[0]]);
        Map("swin_out", builder[Find("transformer/norm0/", "LayerNormalization").Outputs[0]].ToChannelsFirst());
        Map("logits64", classifier);
        AddIndices(builder);
        return builder.ToModel();

        Node Find(string module, string opType) => graph.Nodes.Find(
            node => node.OpType == opType && node.Name.StartsWith(module, StringComparison.Ordinal))!;

        Node Producer(string value) => graph.Nodes.Find(node => node.Outputs.Contains(value))!;

        // Of maps the case has every so many channels, rows and columns.
        void Map(string name, Value map)
        {
            var kept = expected["mid:" + name].Dims;
            for (var axis = 1; axis < 4; axis++)
                map = Every((int)((map.Shape[axis].Value + kept[axis] - 1) / kept[axis]), map, axis);
            builder.Output("mid:" + name, map);
        }
    }

    private static OnnxModel Part(GoldenCase golden, Action<GraphBuilder, GoldenCase, Parameters> build)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        build(builder, golden, parameters);
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static void Alignment(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var (query, support) = (Input(builder, golden, "q").ToChannelsLast(), Input(builder, golden, "s").ToChannelsLast());
        var hasMask = golden.Inputs.ContainsKey("s_mask") && golden.Config.GetProperty("mask_bg").GetBoolean();
        var grid = new WindowGrid(Int(golden.Config, "window_size"), 0, query.Shape[1].Value, query.Shape[2].Value);
        // Without a mask all of the support counts as the object.
        var ones = builder.Constant(Tensor.Scalar(1f)).Expand(support.Slice(3, 0, 1).ShapeOf());
        var mask = hasMask ? Input(builder, golden, "s_mask").ToChannelsLast() : ones;
        var (tokens, area) = (grid.Cut(support), grid.Cut(mask).ReduceSum([2]));
        var index = Sccan.Align(grid.Cut(query), new(tokens, Sccan.WindowMeans(tokens, grid.Cut(mask), area), area));
        builder.Output("index", index);
        var aligned = builder.Op("GatherND", [tokens, index.Unsqueeze(2)], new() { ["batch_dims"] = 1 });
        builder.Output("aligned", Every(3, grid.Join(aligned).ToChannelsFirst(), 1));
    }

    private static void Pyramid(GraphBuilder builder, GoldenCase golden, Parameters parameters) =>
        builder.Output("y", Every(2, Sccan.Pyramid(Input(builder, golden, "x"), parameters), 2, 3));

    // A window's own keys come before those of the support; attention to the own ones alone is that of the support's branch.
    private static void Attention(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var (query, keys) = (Input(builder, golden, "q"), Input(builder, golden, "s"));
        var (width, heads, length) = (query.Shape[2].Value, Int(golden.Config, "num_heads"), query.Shape[1].Value);
        var bias = golden.Config.GetProperty("qkv_bias").GetBoolean();
        var keyValue = keys.Linear(parameters["kv"], 2 * width, bias);
        var packed = builder.Concat(2, query.Linear(parameters["q"], width, bias), keyValue.Slice(1, 0, length));
        var attended = keys.Shape[1] == length
            ? MultiHeadSelfAttention.Apply(packed, heads)
            : SelfCalibratedCrossAttention.Apply(
                packed.Unsqueeze(1), keyValue.Slice(1, length, long.MaxValue).Unsqueeze(1),
                builder.Constant(Tensor.Create<long>(new long[query.Shape[0].Value], query.Shape[0].Value, 1)), heads).Squeeze(1);
        builder.Output("y", attended.Linear(parameters["proj"], width));
    }

    private static void Block(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var (height, width) = (Int(golden.Config, "H"), Int(golden.Config, "W"));
        var config = Config(golden.Config, Int(golden.Config, "dim"), Int(golden.Config, "num_heads"));
        var (query, support) = (Map("q"), Map("s"));
        var grid = new WindowGrid(config.WindowSize, Int(golden.Config, "shift_size"), height, width);
        var (windows, next) = Sccan.SupportBlock(support, Map("s_mask"), grid, config, parameters, isLast: false);
        builder.Output("q_out", Tokens(Sccan.QueryBlock(query, windows, grid, config, parameters)));
        builder.Output("s_out", Tokens(next!));
        builder.Output("mid:index", builder[builder.Graph.Nodes.Find(node => node.OpType == "ArgMax")!.Outputs[0]]);

        Value Map(string name) => Input(builder, golden, name).Reshape(0, height, width, -1);

        static Value Tokens(Value map) => map.Reshape(0, -1, map.Shape[3].Value);
    }

    private static void Stack(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Config(
            golden.Config, Int(golden.Config, "embed_dim"), golden.Config.GetProperty("num_heads")[0].GetInt32())
            with { BlockCount = golden.Config.GetProperty("depths")[0].GetInt32() };
        var windows = Sccan.SupportWindows(Map("s"), Map("s_mask"), config, parameters);
        builder.Output("y", Sccan.Attend(Map("q"), windows, config, parameters).ToChannelsFirst());
        AddIndices(builder);

        Value Map(string name) => Input(builder, golden, name).ToChannelsLast();
    }

    private static void Prototype(GraphBuilder builder, GoldenCase golden, Parameters parameters) =>
        builder.Output("proto", Sccan.Prototype(Input(builder, golden, "feat"), Input(builder, golden, "mask")));

    private static void DiceLoss(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var logits = Input(builder, golden, "logits");
        var loss = Losses.Dice(logits, Input(builder, golden, "target"));
        builder.Output("loss", loss.Reshape(1));
        var gradient = Backward.Differentiate(loss, ["logits"])["logits"];
        builder.Output("grad_x_hw", gradient * (logits.Shape[2].Value * logits.Shape[3].Value));
    }

    private static void Prior(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var (support, mask) = (Input(builder, golden, "supp_feat_high"), Input(builder, golden, "mask"));
        var (batch, shots, channels) = (support.Shape[0].Value, support.Shape[1].Value, support.Shape[2].Value);
        var positions = support.Shape[3].Value * support.Shape[4].Value;
        var keys = Sccan.Keys(support.Reshape(-1, channels, support.Shape[3].Value, support.Shape[4].Value));
        var masks = Sccan.Resize(mask, (int)support.Shape[3].Value).Reshape(batch, shots, positions, 1);
        builder.Output("prior", Sccan.Prior(
            Input(builder, golden, "query_feat_high"), keys.Reshape(batch, shots, channels, positions), masks,
            golden.Config.GetProperty("fts_size")[0].GetInt32()));
    }

    private static void AddIndices(GraphBuilder builder)
    {
        var indices = builder.Graph.Nodes.FindAll(node => node.OpType == "ArgMax");
        for (var block = 0; block < indices.Count; block++)
            builder.Output($"mid:index{block}", builder[indices[block].Outputs[0]]);
    }

    private static Value Every(int step, Value value, params ReadOnlySpan<int> axes)
    {
        foreach (var axis in axes)
            value = value.Slice(axis, 0, long.MaxValue, step);
        return value;
    }

    // Each element of the grid is a square of the image.
    private static Tensor Enlarge(Tensor grid, int size)
    {
        var (side, bytes) = ((int)grid.Dims[^1], grid.Data.Length / (int)grid.ElementCount);
        var planes = (int)grid.ElementCount / (side * side);
        var image = new byte[planes * size * size * bytes];
        for (var i = 0; i < planes * size * size; i++)
        {
            var (plane, y, x) = (i / (size * size), i / size % size * side / size, i % size * side / size);
            grid.Data.Span.Slice(((plane * side * side) + (y * side) + x) * bytes, bytes).CopyTo(image.AsSpan(i * bytes));
        }
        return new(grid.Type, [.. grid.Dims.SkipLast(2), size, size], image);
    }

    private static Value Input(GraphBuilder builder, GoldenCase golden, string name) =>
        builder.Input(name, golden.Inputs[name].Type, golden.Inputs[name].Shape);

    private static int ImageSize(GoldenCase golden) =>
        golden.Description.GetProperty("inputs").GetProperty("x").GetProperty("shape")[2].GetInt32();

    private static SccanConfig Config(JsonElement config, int imageSize)
    {
        var variant = Sccan.Variants["sccan_resnet50"];
        var isMini = config.GetProperty("layers").ValueKind == JsonValueKind.String;
        return Config(config, Int(config, "reduce_dim"), config.GetProperty("num_heads")[0].GetInt32()) with
        {
            Backbone = isMini ? variant.Backbone with { Depths = [1, 1, 1, 1] } : variant.Backbone,
            ShotCount = Int(config, "shot"),
            ImageSize = imageSize,
            OutputSize = ((imageSize - 1) / 8 * Int(config, "zoom_factor")) + 1,
            BlockCount = config.GetProperty("depths")[0].GetInt32(),
        };
    }

    private static SccanConfig Config(JsonElement config, int width, int headCount) => Sccan.Variants["sccan_resnet50"] with
    {
        Width = width,
        HeadCount = headCount,
        WindowSize = Int(config, "window_size"),
        MlpRatio = config.GetProperty("mlp_ratio").GetSingle(),
        HasQueryKeyValueBias = !config.TryGetProperty("qkv_bias", out var bias) || bias.GetBoolean(),
    };

    private static int Int(JsonElement config, string name) => config.GetProperty(name).GetInt32();

    [GeneratedRegex(@"(?<=::)\d+")]
    private static partial Regex Step();
}
