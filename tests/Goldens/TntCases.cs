using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>TNT and PyramidTNT: whole models, blocks, patch embeddings and attentions.</summary>
internal sealed class TntCases : IGoldenModel
{
    private const int SampleCount = 600;

    public string Name => "tnt";

    public OnnxModel Build(GoldenCase golden)
    {
        var config = golden.Config;
        switch (golden.Variant)
        {
            case "op-attention":
                return Module(golden, (inputs, parameters) => new()
                {
                    ["y"] = Tnt.Attention(
                        inputs["x"], Int(config, "num_heads"), config.GetProperty("qkv_bias").GetBoolean(), parameters,
                        Int(config, "hidden_dim")),
                });
            case "op-patch-embed":
                return Module(golden, (inputs, parameters) => new()
                {
                    ["y"] = Tnt.PatchEmbed(inputs["x"], Patches(config), parameters)
                        .Reshape(-1, Patches(config).WordCount, Patches(config).InnerWidth),
                });
            case "op-block":
                return Module(golden, (inputs, parameters) =>
                {
                    var (inner, outer) = Tnt.Block(inputs["inner"], inputs["outer"], Model(config), block: 0, parameters);
                    return new() { ["inner"] = inner, ["outer"] = outer };
                });
            case var variant when variant.StartsWith("op-", StringComparison.Ordinal):
                throw new NotSupportedException($"variant '{variant}' of {Name} is not known");
        }
        var size = golden.Inputs["x"].Dims;
        var model = golden.Variant.StartsWith("ptnt", StringComparison.Ordinal)
            ? PyramidTnt.Build(Pyramid(config), golden.Weights)
            : Tnt.Build(Model(config), golden.Weights, (int)size[2], (int)size[3]);
        AddIntermediates(model.Graph, model.Functions, golden);
        return model;
    }

    // Blocks have outputs of the same names as inputs.
    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        golden.Variant.StartsWith("op-", StringComparison.Ordinal)
            ? golden.Inputs.ToDictionary(input => InputOf(input.Key), input => input.Value)
            : golden.Inputs;

    private static string InputOf(string name) => "input:" + name;

    private static OnnxModel Module(GoldenCase golden, Func<Dictionary<string, Value>, Parameters, Dictionary<string, Value>> apply)
    {
        var builder = new GraphBuilder();
        var parameters = new Parameters(builder, golden.Weights);
        var inputs = golden.Inputs.ToDictionary(
            input => input.Key, input => builder.Input(InputOf(input.Key), TensorElementType.Float, input.Value.Shape));
        foreach (var (name, value) in apply(inputs, parameters))
            builder.Output(name, value);
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    // What a case has of the blocks (TNT) or stages (PyramidTNT), found by the modules' names. Numbers are samples of a flat tensor.
    private static void AddIntermediates(Graph graph, IReadOnlyList<Function> functions, GoldenCase golden)
    {
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = golden.Inputs["x"].Dims[0] }, functions);
        var builder = new GraphBuilder(graph);
        foreach (var name in golden.Expected.Keys)
        {
            var match = Regex.Match(name, "^mid:(block|stage)([0-9]+)_(.+)$");
            if (!match.Success)
                continue;
            var module = $"{match.Groups[1].Value}s.{match.Groups[2].Value}/";
            builder.Output(name, match.Groups[3].Value switch
            {
                "outer_mean" => Last(module, "").ReduceMean([1]),
                "cls" => Last(module, "").Slice(1, 0, 1).Squeeze(1),
                "inner" => Samples(builder[Producer(Producer(NodeOf(module, "proj_norm1/").Inputs[0]).Inputs[0]).Outputs[0]]),
                "last_attn" => Samples(Last(module, "outer_attn/")),
                var attention => Samples(Last(module, attention + "/")),
            });
        }

        Node NodeOf(string module, string part) => graph.Nodes.Last(node =>
            node.Name.StartsWith(module, StringComparison.Ordinal) && node.Name.Contains(part, StringComparison.Ordinal));

        Node Producer(string value) => graph.Nodes.First(node => node.Outputs.Contains(value));

        Value Last(string module, string part) => builder[NodeOf(module, part).Outputs[0]];

        static Value Samples(Value value)
        {
            var count = value.Shape.ElementCount;
            return value.Reshape(-1).Slice(0, 0, count, Math.Max(1, count / SampleCount));
        }
    }

    private static TntConfig Model(JsonElement config) => Patches(config) with
    {
        Depth = Int(config, "depth", 1),
        OuterHeadCount = Int(config, "outer_num_heads"),
        InnerHeadCount = Int(config, "inner_num_heads"),
        MlpRatio = config.GetProperty("mlp_ratio").GetDouble(),
        QueryKeyValueBias = config.GetProperty("qkv_bias").GetBoolean(),
        SqueezeExcitation = Int(config, "se") != 0,
    };

    private static TntConfig Patches(JsonElement config)
    {
        var patchSize = Int(config, "patch_size", 16);
        var (height, width) = config.TryGetProperty("img_size", out var size) ? Size(size) : (patchSize, patchSize);
        return new()
        {
            ClassCount = Int(config, "num_classes", 1000),
            InputChannels = Int(config, "in_chans", 3),
            PatchSize = patchSize,
            InnerStride = Int(config, "inner_stride", 4),
            PatchGrid = (height / patchSize, width / patchSize),
            OuterWidth = Int(config, "outer_dim"),
            InnerWidth = Int(config, "inner_dim"),
            OuterHeadCount = 1,
        };
    }

    private static PyramidTntConfig Pyramid(JsonElement config)
    {
        var lists = config.GetProperty("configs");
        if (config.GetProperty("qkv_bias").GetBoolean() || Int(config, "se") != 0)
            throw new NotSupportedException("PyramidTNT with biases of queries, keys and values or with se is not known");
        return new()
        {
            ClassCount = Int(config, "num_classes"),
            InputChannels = Int(config, "in_chans"),
            ImageSize = Size(config.GetProperty("img_size")),
            Depths = Ints("depths"),
            OuterWidths = Ints("outer_dims"),
            InnerWidths = Ints("inner_dims"),
            OuterHeadCounts = Ints("outer_heads"),
            InnerHeadCounts = Ints("inner_heads"),
            MlpRatio = config.GetProperty("mlp_ratio").GetDouble(),
        };

        int[] Ints(string name) => [.. lists.GetProperty(name).EnumerateArray().Select(item => item.GetInt32())];
    }

    private static (int Height, int Width) Size(JsonElement size) =>
        size.ValueKind == JsonValueKind.Array ? (size[0].GetInt32(), size[1].GetInt32()) : (size.GetInt32(), size.GetInt32());

    private static int Int(JsonElement config, string name, int? orElse = null) =>
        config.TryGetProperty(name, out var value) || orElse is null ? value.GetInt32() : orElse.Value;
}
