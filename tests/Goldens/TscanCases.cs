using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>TSCAN: whole networks of the published code and of the paper, their parts, and steps of training.</summary>
internal sealed class TscanCases : IGoldenModel
{
    public string Name => "tscan";

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        TscanTableCases.Knows(golden) ? TscanTableCases.Prepare(golden) : golden.Inputs;

    public IEnumerable<IReadOnlyDictionary<string, Tensor>> Run(GoldenCase golden, IReadOnlyList<RunMode> modes) =>
        TscanTableCases.Knows(golden) ? TscanTableCases.Run(this, golden, modes) : CaseRunner.RunModel(this, golden, modes);

    public OnnxModel Build(GoldenCase golden)
    {
        if (TscanTableCases.Knows(golden))
            return TscanTableCases.Build(golden);
        var builder = new GraphBuilder();
        var parameters = golden.Variant.StartsWith("training", StringComparison.Ordinal)
            ? new Parameters(builder, Initial(builder, golden)) : new Parameters(builder, golden.Weights);
        switch (golden.Variant)
        {
            case "MultiHeadAttention":
                Attention(builder, golden, parameters);
                break;
            case "TransformerEncoderBlock" or "TransformerDecoderBlock":
                Block(builder, golden, parameters);
                break;
            case "paper":
                Network(builder, golden, parameters);
                break;
            case var variant when variant.StartsWith("split48_", StringComparison.Ordinal):
                Network(builder, golden, parameters);
                Importance(builder, golden, parameters);
                break;
            case var variant when variant.StartsWith("training", StringComparison.Ordinal):
                TrainingSteps(builder, golden);
                break;
            default:
                throw new NotSupportedException($"variant '{golden.Variant}' of {Name} is not known");
        }
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }

    private static void Network(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var (config, network) = (golden.Config, new Tscan.Network(Config(golden.Config), parameters));
        var logits = network.Logits(Input(builder, golden, "X"));
        builder.Output("y", Activate(logits, config.GetProperty("task").GetString()!, Config(config).OutputCount));
        Value?[] branches = [network.TemporalTokens, network.FeatureTokens?.Transpose(0, 2, 1)];
        if (golden.Expected.ContainsKey("output:zt"))
        {
            builder.Output("zt", branches[0]!);
            builder.Output("zf", branches[1]!);
            return;
        }
        var tokens = builder.Concat(1, [.. branches.OfType<Value>()]);
        var kept = golden.Expected["output:z"];
        builder.Output("z", kept.Dims.Count == 1 ? tokens.Reshape(-1).Slice(0, 0, kept.ElementCount) : tokens);
    }

    // The same network once more, as attention in one operator has no maps.
    private static void Importance(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var network = new Tscan.Network(Config(golden.Config), parameters, keepsMaps: true);
        network.Logits(Input(builder, golden, "X"));
        foreach (var (name, value) in network.Importance())
            builder.Output(name, value);
        if (!golden.Expected.ContainsKey("output:variable_importance"))
            return;
        // The columns of the benchmark's 17 variables.
        int[] widths = [2, 1, 1, 8, 12, 13, 12, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        var shares = builder["feature_importance"];
        builder.Output("variable_importance", builder.Concat(1, [.. widths.Select((width, i) =>
            shares.Slice(1, widths.Take(i).Sum(), widths.Take(i + 1).Sum()).ReduceSum([1], keepDims: true))]));
    }

    private static void Attention(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var config = Config(golden.Config);
        var query = Input(builder, golden, "q");
        var key = golden.Inputs.ContainsKey("k") ? Input(builder, golden, "k") : query;
        var mask = golden.Config.GetProperty("kind").GetString() switch
        {
            "causal" or "cross_causal" => Tscan.Network.CausalMask(query),
            "pad" => (1 - Input(builder, golden, "keep").Cast(TensorElementType.Float)).Unsqueeze(1).Unsqueeze(1) * Tscan.Masked,
            _ => null,
        };
        Each(network => network.Attend(
            query, key, key, parameters, mask, golden.Config.GetProperty("out_dim").GetInt32()), builder, config, parameters);
    }

    private static void Block(GraphBuilder builder, GoldenCase golden, Parameters parameters)
    {
        var layers = golden.Config.GetProperty("n_layers").GetInt32();
        var config = Config(golden.Config) with { EncoderDepth = layers, DecoderDepth = layers };
        Each(network => golden.Variant == "TransformerEncoderBlock"
            ? network.Encode(Input(builder, golden, "x"), parameters)
            : network.Decode(Input(builder, golden, "x"), Input(builder, golden, "z"), parameters), builder, config, parameters);
    }

    // The output by the operator, the map by the map.
    private static void Each(
        Func<Tscan.Network, (Value Output, Value? Map)> part, GraphBuilder builder, TscanConfig config, Parameters parameters)
    {
        builder.Output("out", part(new(config, parameters)).Output);
        builder.Output("weights", part(new(config, parameters, keepsMaps: true)).Map!);
    }

    // All steps one after the other in one graph.
    private static void TrainingSteps(GraphBuilder builder, GoldenCase golden)
    {
        var config = Config(golden.Config) with { DropoutRate = 0 };
        var task = golden.Config.GetProperty("task").GetString()!;
        var (x, labels) = (Input(builder, golden, "X"), Input(builder, golden, "y"));
        var adam = new Adam();
        var group = new Training.ParameterGroup(adam, 0, 1, false, []);
        var names = golden.Description.GetProperty("parameters").EnumerateObject().Select(parameter => parameter.Name).ToArray();
        var weights = names.ToDictionary(name => name, name => builder[name]);
        var moments = names.ToDictionary(name => name, name => new[] { Zeros(weights[name]), Zeros(weights[name]) });
        var losses = new List<Value>();
        var numbers = new float[3];
        for (var step = 1; step <= golden.Config.GetProperty("steps").GetInt32(); step++)
        {
            var logits = Logits();
            losses.Add(task == "los" ? Losses.CrossEntropy(logits, labels) : Losses.BinaryCrossEntropy(logits, labels));
            var gradients = Backward.Differentiate(losses[^1], weights.Values.Select(value => value.Name));
            adam.Prepare(step, golden.Config.GetProperty("lr").GetSingle(), numbers);
            var given = builder.Constant(Tensor.Create<float>(numbers.ToArray(), 3));
            if (step == 1)
                Gradients(gradients);
            foreach (var name in names)
            {
                var (old, gradient) = (weights[name], gradients[weights[name].Name]);
                var updated = adam.Update(old.Reshape(-1), gradient.Reshape(-1), moments[name], null, given, group);
                (weights[name], moments[name]) = (updated[0].Reshape(old.Shape.ToArray()), updated[1..]);
            }
        }
        builder.Output("losses", builder.Concat(0, [.. losses.Select(loss => loss.Reshape(1))]));
        builder.Output("y_after", Activate(Logits(), task, config.OutputCount));

        Value Logits() => new Tscan.Network(config, new Parameters(builder, weights)).Logits(x);

        Value Zeros(Value like)
        {
            var count = like.Shape.ToArray().Aggregate(1L, (product, size) => product * size);
            return builder.Constant(Tensor.Create<float>(new float[count], count));
        }

        void Gradients(Dictionary<string, Value> gradients)
        {
            var norms = names.Select(name => gradients[name].Reshape(-1)).Select(g => (g * g).ReduceSum([0], keepDims: true).Apply("Sqrt"));
            builder.Output("grad_norms", builder.Concat(0, [.. norms]));
            const string Prefix = "output:grad:";
            foreach (var output in golden.Expected.Keys.Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)))
                builder.Output(output["output:".Length..], gradients[output[Prefix.Length..]]);
        }
    }

    private static Dictionary<string, Value> Initial(GraphBuilder builder, GoldenCase golden) =>
        golden.Description.GetProperty("parameters").EnumerateObject().ToDictionary(parameter => parameter.Name, parameter =>
        {
            var dims = parameter.Value.EnumerateArray().Select(dim => dim.GetInt64()).ToArray();
            return builder.Initializer(parameter.Name, golden.Weights.Find(parameter.Name, dims, Initialization.Zeros)!);
        });

    private static Value Input(GraphBuilder builder, GoldenCase golden, string name)
    {
        var tensor = golden.Inputs[name];
        return builder.Graph.Inputs.Contains(name) ? builder[name] : builder.Input(name, tensor.Type, tensor.Shape);
    }

    private static Value Activate(Value logits, string task, long count) => task switch
    {
        "los" => count == 1 ? logits.Apply("Relu") : logits.Softmax(),
        _ => logits.Apply("Sigmoid"),
    };

    // Of networks, or of a part of one.
    public static TscanConfig Config(JsonElement config)
    {
        var (task, count) = (Text("task"), Int("num_classes", 1));
        return new()
        {
            InputCount = Int("input_dim", 76),
            ColumnCount = Int("features", 59),
            BinCount = Int("time", 48),
            SegmentCount = Int("segments", 4),
            AttentionWidth = Int("embed_dim", 512),
            HeadCount = Int("num_heads", 8),
            HiddenWidth = Int("ff_dim", 512),
            EncoderDepth = Int("n_layers_en", 1),
            DecoderDepth = Int("n_layers_de", 1),
            DropoutRate = 0,
            Branches = Text("file") switch
            {
                "split48_t" => TscanBranches.Temporal,
                "split48_f" => TscanBranches.Feature,
                _ => TscanBranches.Both,
            },
            HeadActivation = task != "los" ? TscanHiddenActivation.Sigmoid
                : count == 1 ? TscanHiddenActivation.Relu : TscanHiddenActivation.Softmax,
            Fusion = Text("fusion") switch
            {
                "concat" => TscanFusion.Concatenation,
                "add" => TscanFusion.Sum,
                "bilinear" => TscanFusion.Bilinear,
                "max" => TscanFusion.Maximum,
                _ => TscanFusion.Published,
            },
            MixesValues = Text("value") is not null,
            IsCausal = !config.TryGetProperty("causal", out var causal) || causal.GetBoolean(),
            OutputCount = count,
        };

        int Int(string name, int defaultValue) => config.TryGetProperty(name, out var value) ? value.GetInt32() : defaultValue;

        string? Text(string name) => config.TryGetProperty(name, out var value) ? value.GetString() : null;
    }
}
