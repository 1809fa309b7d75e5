using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>Gives a model whatever it asks for, in the memory of the largest of it, and remembers what that was.</summary>
internal sealed class RecordedWeights : WeightSource
{
    private byte[] _zeros = [];

    public Dictionary<string, long[]> Dims { get; } = [];

    public override string Description => "any weights";

    /// <summary>The number of trained numbers: all but running statistics.</summary>
    public long ParameterCount => Dims.Where(pair => !pair.Key.Contains(".running_", StringComparison.Ordinal))
        .Sum(pair => pair.Value.Aggregate(1L, (product, dim) => product * dim));

    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization)
    {
        Dims[name] = [.. dims];
        var size = sizeof(float) * (int)dims.Aggregate(1L, (product, dim) => product * dim);
        if (_zeros.Length < size)
            _zeros = new byte[size];
        return new(TensorElementType.Float, [.. dims], _zeros.AsMemory(0, size));
    }
}
