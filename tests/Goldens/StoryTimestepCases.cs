using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>The embeddings of steps, and of pictures' sizes and crops, that the UNet makes.</summary>
internal sealed class StoryTimestepCases : IGoldenModel
{
    private const string ProjectionPrefix = "output:proj_";

    public string Name => StoryCases.Family;

    public OnnxModel Build(GoldenCase golden)
    {
        var builder = new GraphBuilder();
        var steps = builder.Input("timesteps", TensorElementType.Double, golden.Inputs["timesteps"].Shape).Cast(TensorElementType.Float);
        foreach (var output in golden.Expected.Keys.Where(name => name.StartsWith(ProjectionPrefix, StringComparison.Ordinal)))
        {
            // Named after the width, whether cosines come first, and the shift.
            var numbers = Array.ConvertAll(output[ProjectionPrefix.Length..].Split('_'), int.Parse);
            builder.Output(output["output:".Length..], UNet2DCondition.Timesteps(steps, numbers[0], numbers[1] == 1, numbers[2]));
        }
        var parameters = new Parameters(builder, golden.Weights);
        builder.Output("mlp", UNet2DCondition.TimestepEmbedding(UNet2DCondition.Timesteps(steps, 32, true, 0), parameters, 48));
        var ids = builder.Input("time_ids", TensorElementType.Float, golden.Inputs["time_ids"].Shape);
        builder.Output("time_ids_embed", UNet2DCondition.Timesteps(ids.Reshape(-1), 256, true, 0).Reshape(ids.Shape[0].Value, -1));
        parameters.ThrowIfUnfit();
        return builder.ToModel();
    }
}
