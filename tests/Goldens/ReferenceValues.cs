using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>The weights and inputs of the reference cases, which depend on their names, shapes and a seed only.</summary>
internal static class ReferenceValues
{
    /// <summary>A parameter or floating-point buffer of a model.</summary>
    public static Tensor Parameter(string name, IReadOnlyList<long> dims, int seed)
    {
        if (name.EndsWith("running_var", StringComparison.Ordinal))
            return Draw(name, dims, seed, u => 0.5 + u);
        if (name.EndsWith("running_mean", StringComparison.Ordinal))
            return Draw(name, dims, seed, u => (u - 0.5) * 0.2);
        if (dims.Count <= 1)
        {
            var centre = name.EndsWith("weight", StringComparison.Ordinal) ? 1 : 0;
            return Draw(name, dims, seed, u => centre + ((u - 0.5) * 0.2));
        }
        var bound = Math.Sqrt(3.0 / Math.Max(1, dims.Skip(1).Aggregate(1L, (product, dim) => product * dim)));
        return Draw(name, dims, seed, u => (u - 0.5) * 2 * bound);
    }

    /// <summary>An input of a model, uniform between two numbers.</summary>
    public static Tensor Input(string name, IReadOnlyList<long> dims, int seed, double low, double high) =>
        Draw("input:" + name, dims, seed, u => low + (u * (high - low)));

    private static Tensor Draw(string name, IReadOnlyList<long> dims, int seed, Func<double, double> map)
    {
        var bytes = new byte[sizeof(float) * dims.Aggregate(1L, (product, dim) => product * dim)];
        var random = new NamedRandom(seed, name);
        foreach (ref var value in MemoryMarshal.Cast<byte, float>(bytes.AsSpan()))
            value = (float)map((random.NextBits() >> 40) * (1.0 / (1 << 24)));
        return new(TensorElementType.Float, [.. dims], bytes);
    }
}

/// <summary>The parameters that a reference case lists, under the names of the official checkpoint.</summary>
/// <param name="parameters">The sizes by name.</param>
/// <param name="scales">What parameters are multiplied by, by the end of their names.</param>
/// <param name="seed">The seed of the case.</param>
internal sealed class ReferenceWeights(
    IReadOnlyDictionary<string, long[]> parameters, IReadOnlyDictionary<string, float> scales, int seed) : WeightSource
{
    public override string Description => "the reference case";

    public override IEnumerable<string> Names => parameters.Keys;

    public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
        parameters.TryGetValue(name, out var known) ? Scaled(name, ReferenceValues.Parameter(name, known, seed)) : null;

    private Tensor Scaled(string name, Tensor tensor)
    {
        var scale = scales.FirstOrDefault(entry => name.EndsWith(entry.Key, StringComparison.Ordinal)).Value;
        return scale == 0 ? tensor : Tensor.Create<float>([.. tensor.AsSpan<float>().ToArray().Select(value => value * scale)], [.. tensor.Dims]);
    }
}
