using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>TSCAN: whole networks of the published code.</summary>
internal sealed class TscanCases : IGoldenModel
{
    public string Name => "tscan";

    public OnnxModel Build(GoldenCase golden)
    {
        if (!golden.Variant.StartsWith("split48_", StringComparison.Ordinal) || golden.Config.TryGetProperty("lengths", out _))
            throw new NotSupportedException($"variant '{golden.Variant}' of {Name} is not known");
        var model = Tscan.BuildWithAttention(Config(golden.Config), golden.Weights);
        var builder = new GraphBuilder(model.Graph);
        builder.Output("z", LastTokens(builder, golden.Config));
        builder.Output("y", Activate(builder["logits"], golden.Config.GetProperty("task").GetString()!, golden.Expected["output:y"].Dims[1]));
        return model;
    }

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) => new Dictionary<string, Tensor> { ["x"] = golden.Inputs["X"] };

    // [N, L, columns]: what the branches give, one after the other along the bins.
    private static Value LastTokens(GraphBuilder builder, JsonElement config)
    {
        var (segment, layer) = (config.GetProperty("segments").GetInt32() - 1, config.GetProperty("n_layers_de").GetInt32() - 1);
        Value?[] branches = [OfBranch(""), OfBranch("f")?.Transpose(0, 2, 1)];
        return builder.Concat(1, [.. branches.OfType<Value>()]);

        Value? OfBranch(string suffix) => builder.Graph.Nodes.Where(node => node.OpType == "LayerNormalization"
                && node.Inputs[1] == $"decoder.decoder{suffix}{segment}.decoder_layer.{layer}.layernorm2.weight")
            .Select(node => builder[node.Outputs[0]]).SingleOrDefault();
    }

    private static Value Activate(Value logits, string task, long count) => task switch
    {
        "los" => count == 1 ? logits.Apply("Relu") : logits.Softmax(),
        _ => logits.Apply("Sigmoid"),
    };

    private static TscanConfig Config(JsonElement config)
    {
        var (task, count) = (config.GetProperty("task").GetString(), Int("num_classes"));
        return new()
        {
            InputCount = Int("input_dim"),
            ColumnCount = Int("features"),
            BinCount = Int("time"),
            SegmentCount = Int("segments"),
            AttentionWidth = Int("embed_dim"),
            HeadCount = Int("num_heads"),
            HiddenWidth = Int("ff_dim"),
            EncoderDepth = Int("n_layers_en"),
            DecoderDepth = Int("n_layers_de"),
            Branches = config.GetProperty("file").GetString() switch
            {
                "split48_t" => TscanBranches.Temporal,
                "split48_f" => TscanBranches.Feature,
                _ => TscanBranches.Both,
            },
            HeadActivation = task != "los" ? TscanHiddenActivation.Sigmoid
                : count == 1 ? TscanHiddenActivation.Relu : TscanHiddenActivation.Softmax,
            OutputCount = count,
        };

        int Int(string name) => config.GetProperty(name).GetInt32();
    }
}
