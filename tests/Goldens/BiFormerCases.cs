using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>BiFormer: whole models, backbones, and the attentions on their own.</summary>
internal sealed class BiFormerCases : IGoldenModel
{
    private const int SampleCount = 800;

    public string Name => "biformer";

    public OnnxModel Build(GoldenCase golden)
    {
        var config = golden.Config;
        switch (golden.Variant)
        {
            case "op-legacy":
                return Module(golden, (map, parameters) => BiFormer.RoutedAttention(map, parameters, RoutedAttention(config)));
            case "op-nchw":
                return Module(golden, (map, parameters) => BiFormer.RoutedAttentionChannelsFirst(map, parameters, RoutedAttention(config)));
            case "op-AttentionLePE":
                return Module(golden, (map, parameters) => BiFormer.FullAttention(map, parameters, FullAttention(config)));
            case "op-Attention":
                var plain = FullAttention(config) with { LePEKernel = 0 };
                return Module(golden, (map, parameters) => BiFormer.FullAttention(map, parameters, plain));
            case "op-nchwAttentionLePE":
                return Module(golden, (map, parameters) => BiFormer.FullAttentionChannelsFirst(map, parameters, FullAttention(config)));
            case var variant when variant.StartsWith("op-", StringComparison.Ordinal):
                throw new NotSupportedException($"variant '{variant}' of {Name} is not known");
        }
        var size = golden.Inputs["x"].Dims;
        var model = golden.Variant.StartsWith("dense-", StringComparison.Ordinal)
            ? BiFormer.BuildBackbone(Model(golden), golden.Weights, (int)size[2], (int)size[3])
            : BiFormer.Build(Model(golden), golden.Weights, (int)size[2], (int)size[3]);
        AddIntermediates(model.Graph, golden, Model(golden));
        return model;
    }

    // One attention, x to y.
    private static OnnxModel Module(GoldenCase golden, Func<Value, Parameters, Value> apply)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        var map = builder.Input("x", TensorElementType.Float, golden.Inputs["x"].Shape.With(0, "N"));
        builder.Output("y", apply(map, parameters));
        parameters.ThrowIfUnfit();

        var model = builder.ToModel();
        AddRouting(model.Graph);
        return model;
    }

    // The windows that routing chose: the second output of the bi-level routing attention, or of the TopK that stands for it.
    private static void AddRouting(Graph graph)
    {
        const string Name = "mid:r_idx";
        switch (graph.Nodes.Find(node => node.OpType is "BiLevelRoutingAttention" or "TopK"))
        {
            case { OpType: "TopK" } topK:
                var builder = new GraphBuilder(graph);
                builder.Output(Name, builder[topK.Outputs[1]]);
                break;
            case { } attention:
                attention.Outputs[1] = Name;
                graph.Outputs.Add(Name);
                ShapeInference.Infer(graph, attention, []);
                break;
        }
    }

    // The mean of each stage's output over the map, and samples of the output of its last attention, found by the modules' names.
    private static void AddIntermediates(Graph graph, GoldenCase golden, BiFormerConfig config)
    {
        var builder = new GraphBuilder(graph);
        var batch = golden.Inputs["x"].Dims[0];
        for (var stage = 0; stage < config.StageCount; stage++)
        {
            var block = (config.Layout == BiFormerLayout.BiFormer ? "" : "blocks.") + (config.Depths[stage] - 1);
            if (golden.Expected.ContainsKey($"mid:stage{stage}_mean"))
                builder.Output($"mid:stage{stage}_mean", Last($"stages.{stage}/").ReduceMean([2, 3]));
            if (golden.Expected.ContainsKey($"mid:stage{stage}_last_attn"))
            {
                var attention = Last($"stages.{stage}/{block}/attn/");
                var count = batch * attention.Shape.Skip(1).Aggregate(1L, (product, dim) => product * dim.Value);
                builder.Output($"mid:stage{stage}_last_attn", attention.Reshape(-1).Slice(0, 0, count, Math.Max(1, count / SampleCount)));
            }
        }

        Value Last(string module) =>
            builder[graph.Nodes.FindLast(node => node.Name.StartsWith(module, StringComparison.Ordinal))!.Outputs[0]];
    }

    private static BiFormerConfig Model(GoldenCase golden)
    {
        var config = golden.Config;
        var isSwinTiny = golden.Variant.Contains("stl", StringComparison.Ordinal) || config.TryGetProperty("n_wins", out _);
        var depths = Ints(config, "depth")!;
        var layerScale = Number(config, "layer_scale_init_value");
        if (config.TryGetProperty("pe", out var pe) && pe.ValueKind != JsonValueKind.Null)
            throw new NotSupportedException($"position embedding '{pe}' is not known");
        return new()
        {
            Layout = !isSwinTiny ? BiFormerLayout.BiFormer
                : golden.Variant.Contains("nchw", StringComparison.Ordinal) ? BiFormerLayout.SwinTinyChannelsFirst
                : BiFormerLayout.SwinTiny,
            InputChannels = Int(config, "in_chans", 3),
            ClassCount = Int(config, "num_classes", 1000),
            Depths = depths,
            Widths = Ints(config, "embed_dim")!,
            QueryKeyWidths = Ints(config, "qk_dims"),
            MlpRatios = [.. config.GetProperty("mlp_ratios").EnumerateArray().Select(ratio => ratio.GetDouble())],
            HeadWidth = Int(config, "head_dim", 32),
            WindowCounts = Ints(config, "n_wins") ?? [.. Enumerable.Repeat(Int(config, "n_win", 7), depths.Length)],
            TopKs = Ints(config, "topks")!,
            LePEKernel = Int(config, "side_dwconv", 5),
            PositionKernel = Int(config, "before_attn_dwconv", 3),
            AutoPad = Flag(config, "auto_pad"),
            PreNorm = Flag(config, "pre_norm", true),
            LayerScale = layerScale > 0 ? (float)layerScale : null,
            MlpConvolution = Flag(config, "mlp_dwconv"),
            KeyValuePooling = Pooling(config),
            KeyValueBins = Ints(config, "kv_per_wins"),
            KeyValueStrides = Ints(config, "kv_downsample_ratios"),
            SoftRouting = Flag(config, "soft_routing"),
            DifferentiableRouting = Flag(config, "diff_routing"),
            RoutingProjection = Flag(config, "param_routing"),
        };
    }

    private static RoutedAttention RoutedAttention(JsonElement config) => new()
    {
        HeadCount = Int(config, "num_heads", 8),
        WindowCount = Int(config, "n_win", 7),
        TopK = Int(config, "topk", 4),
        QueryKeyWidth = Number(config, "qk_dim") is { } width ? (int)width : null,
        Scale = (float?)Number(config, "qk_scale"),
        LePEKernel = Int(config, "side_dwconv", 3),
        AutoPad = Flag(config, "auto_pad"),
        OutputProjection = !config.TryGetProperty("param_attention", out var attention) || attention.GetString() == "qkvo",
        KeyValuePooling = Pooling(config),
        KeyValueBins = Int(config, "kv_per_win", 0),
        KeyValueStride = Int(config, "kv_downsample_ratio", 1),
        SoftRouting = Flag(config, "soft_routing"),
        DifferentiableRouting = Flag(config, "diff_routing"),
        RoutingProjection = Flag(config, "param_routing"),
    };

    private static FullAttention FullAttention(JsonElement config) => new()
    {
        HeadCount = Int(config, "num_heads", Onnx.Models.FullAttention.PublishedHeadCount),
        Scale = (float?)Number(config, "qk_scale"),
        QueryKeyValueBias = Flag(config, "qkv_bias"),
        LePEKernel = Int(config, "side_dwconv", 5),
    };

    private static KeyValuePooling Pooling(JsonElement config)
    {
        var mode = config.TryGetProperty("kv_downsample_mode", out var value) ? value.GetString() : "identity";
        return mode switch
        {
            "identity" => KeyValuePooling.None,
            "ada_avgpool" => KeyValuePooling.AdaptiveAverage,
            "ada_maxpool" => KeyValuePooling.AdaptiveMax,
            "avgpool" => KeyValuePooling.Average,
            "maxpool" => KeyValuePooling.Max,
            _ => throw new NotSupportedException($"kv_downsample_mode '{mode}' is not known"),
        };
    }

    private static double? Number(JsonElement config, string name) =>
        config.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static int Int(JsonElement config, string name, int defaultValue) => (int)(Number(config, name) ?? defaultValue);

    private static bool Flag(JsonElement config, string name, bool defaultValue = false) =>
        config.TryGetProperty(name, out var value) ? value.GetBoolean() : defaultValue;

    private static int[]? Ints(JsonElement config, string name) =>
        config.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Array
            ? [.. value.EnumerateArray().Select(item => item.GetInt32())]
            : null;
}
