using System.Text.Json;
using Microsoft.ML.Attention.Onnx.Surgery;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>FreeU at single joints of backbone and skip connection.</summary>
internal sealed class FreeUCases : IGoldenModel
{
    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        foreach (var (i, joint) in golden.Config.GetProperty("cases").EnumerateArray().Index())
        {
            var hidden = Input("hidden", "hidden_channels");
            var skip = Input("skip", "skip_channels") + 0.5;
            var block = joint.GetProperty("resolution_idx").GetInt32();
            if (block < 2)
            {
                hidden = FreeU.Strengthen(hidden, Factor("b"));
                skip = FreeU.Weaken(skip, FreeU.Waves(skip), Factor("s"));
            }
            builder.Output($"hidden.{i}", hidden);
            builder.Output($"skip.{i}", skip);

            Value Input(string name, string channels) => builder.Input(
                $"input.{name}.{i}", TensorElementType.Float, ["batch", Int(joint, channels), "height", "width"]);

            float Factor(string name) => golden.Config.GetProperty($"{name}{block + 1}").GetSingle();
        }
        return builder.ToModel();
    }

    public IReadOnlyDictionary<string, Tensor> Prepare(GoldenCase golden) =>
        golden.Inputs.ToDictionary(input => $"input.{input.Key}", input => input.Value);

    private static int Int(JsonElement joint, string name) => joint.GetProperty(name).GetInt32();
}
