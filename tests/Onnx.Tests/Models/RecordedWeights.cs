using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>Gives a model whatever it asks for, and remembers what that was.</summary>
internal sealed class RecordedWeights : WeightSource
{
    public Dictionary<string, long[]> Dims { get; } = [];

    public override string Description => "any weights";

    /// <summary>The number of trained numbers: all but running statistics.</summary>
    public long ParameterCount => Dims.Where(pair => !pair.Key.Contains(".running_", StringComparison.Ordinal))
        .Sum(pair => pair.Value.Aggregate(1L, (product, dim) => product * dim));

    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization)
    {
        Dims[name] = [.. dims];
        return Initialization.Zeros.Draw(0, name, dims);
    }
}
