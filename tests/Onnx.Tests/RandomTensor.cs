namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>Reproducible inputs.</summary>
internal static class RandomTensor
{
    /// <summary>Uniform in [-1, 1).</summary>
    public static Tensor Float(int seed, params ReadOnlySpan<long> dims)
    {
        var random = new Random(seed);
        long count = 1;
        foreach (var dim in dims)
            count *= dim;
        var values = new float[count];
        for (var i = 0; i < values.Length; i++)
            values[i] = (random.NextSingle() * 2) - 1;
        return Tensor.Create<float>(values, dims);
    }
}
