using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>Weights in a file that is not there: whoever reads one fails.</summary>
internal sealed class AbsentWeights : WeightSource
{
    public override string Description => "absent weights";

    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) => new(
        TensorElementType.Float, [.. dims],
        new ExternalData("/absent/", "model.onnx_data", 0, sizeof(float) * dims.Aggregate(1L, (product, dim) => product * dim)));
}
