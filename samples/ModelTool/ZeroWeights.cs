using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace ModelTool;

/// <summary>Weights for architectures that are only described: all zero, which takes neither time nor pages of memory.</summary>
internal sealed class ZeroWeights : WeightSource
{
    public override string Description => "weights of zero";

    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
        new(TensorElementType.Float, [.. dims], new byte[sizeof(float) * dims.Aggregate(1L, (product, dim) => product * dim)]);
}
