using System.Text.Json;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention;

/// <summary>What the networks of a model of time series are, kept in its file so that they can be built again with further outputs.</summary>
/// <param name="Architecture">The hyper-parameters of each network.</param>
/// <param name="MemberCount">The networks whose mean the model is.</param>
internal sealed record TscanEnsemble(TscanConfig Architecture, int MemberCount)
{
    private const string Key = "tscan";

    /// <summary>Builds the model.</summary>
    public OnnxModel Build(WeightSource weights)
    {
        var model = Tscan.BuildEnsemble(Architecture, weights, MemberCount);
        model.Metadata[Key] = JsonSerializer.Serialize(this);
        return model;
    }

    /// <summary>Builds a model again, with what its attention looks at as further outputs.</summary>
    public static OnnxModel WithAttention(OnnxModel model)
    {
        var (architecture, memberCount) = JsonSerializer.Deserialize<TscanEnsemble>(model.Metadata[Key])!;
        var weights = model.Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary();
        return Tscan.BuildEnsemble(architecture, new Checkpoint(weights, "the model"), memberCount, withAttention: true);
    }
}
