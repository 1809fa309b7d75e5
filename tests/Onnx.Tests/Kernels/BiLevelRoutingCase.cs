using System.Numerics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The sizes of a test of bi-level routing attention, with inputs made from a seed.</summary>
public sealed record BiLevelRoutingCase(int N, int H, int W, int Cq, int C, int Heads, int Windows, int TopK, float? Scale = null)
{
    /// <summary>Sizes chosen for their corners: odd widths, regions of every shape, regions beyond the map, one region a position.</summary>
    public static readonly BiLevelRoutingCase[] Corners =
    [
        new(1, 14, 14, 32, 32, 1, 7, 4),
        new(2, 14, 14, 64, 64, 2, 7, 16),
        new(3, 8, 8, 48, 24, 2, 2, 3),
        new(1, 28, 28, 64, 64, 2, 7, 4),
        new(1, 24, 24, 32, 32, 1, 3, 1),
        new(2, 9, 9, 6, 10, 2, 3, 9),
        new(1, 6, 9, 3, 1, 1, 3, 2, 0.7f),
        new(1, 13, 18, 10, 15, 5, 4, 3, 1.3f),
        new(2, 5, 5, 4, 4, 4, 7, 6),
        new(1, 5, 11, 6, 4, 2, 7, 5),
        new(1, 7, 15, 24, 48, 1, 2, 4),
        new(1, 10, 7, 15, 9, 3, 1, 1),
        new(1, 1, 1, 2, 3, 1, 1, 1),
        new(2, 4, 6, 34, 66, 2, 2, 4, 0.2f),
        new(1, 12, 16, 5, 7, 1, 4, 16),
        new(1, 3, 64, 16, 16, 2, 2, 2),
        new(1, 20, 20, 8, 8, 1, 20, 37),
        new(1, 2, 3, 1, 1, 1, 2, 1, 2f),
    ];

    public int RegionHeight => Math.Max(1, H / Windows);

    public int RegionWidth => Math.Max(1, W / Windows);

    public int RegionColumns => (W + RegionWidth - 1) / RegionWidth;

    public int Regions => RegionColumns * ((H + RegionHeight - 1) / RegionHeight);

    public double ScaleValue => Scale ?? 1 / Math.Sqrt(Cq);

    public long[] QueryDims => [N, H, W, Cq];

    public long[] ValueDims => [N, H, W, C];

    /// <summary>Numbers from -1 to 1 that float16 has.</summary>
    public double[] Numbers(long[] dims, int seed)
    {
        var random = new Random(seed);
        var values = new double[dims.Aggregate(1L, (a, b) => a * b)];
        for (var i = 0; i < values.Length; i++)
            values[i] = (double)(Half)(random.NextDouble() * 2 - 1);
        return values;
    }

    /// <summary>Query, key and value.</summary>
    public double[][] Inputs => [Numbers(QueryDims, 1), Numbers(QueryDims, 2), Numbers(ValueDims, 3)];

    public double[] OutputGrad => Numbers(ValueDims, 4);

    public static void AssertClose(double[] expected, double[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(expected[i])), $"at {i}: expected {expected[i]}, got {actual[i]}");
    }

    /// <summary>The routing must be in order, and nothing left out may be more similar than what was chosen, but for rounding.</summary>
    public void AssertRouting(double[] logits, long[] routing)
    {
        Assert.Equal(N * Regions * TopK, routing.Length);
        for (var row = 0; row < N * Regions; row++)
        {
            var chosen = routing.AsSpan(row * TopK, TopK).ToArray();
            Assert.Equal(TopK, chosen.Distinct().Count());
            var chosenLogits = chosen.Select(region => logits[row * Regions + (int)region]).ToArray();
            for (var i = 1; i < chosen.Length; i++)
                Assert.True(chosenLogits[i] <= chosenLogits[i - 1] + 1e-6);
            var best = Enumerable.Range(0, Regions).Where(region => !chosen.Contains(region))
                .Select(region => logits[row * Regions + region]).DefaultIfEmpty(double.NegativeInfinity).Max();
            Assert.True(best <= chosenLogits[^1] + 1e-6);
        }
    }

    internal NamedOnnxValue[] Tensors<T>(double[][] inputs) where T : unmanaged, INumber<T> =>
        [Tensor<T>("query", inputs[0], QueryDims), Tensor<T>("key", inputs[1], QueryDims), Tensor<T>("value", inputs[2], ValueDims)];

    internal NamedOnnxValue[] GradTensors<T>(double[][] inputs, double[] outputGrad, double[] output, long[] routing, double[] logSumExp)
        where T : unmanaged, INumber<T> =>
    [
        Tensor<T>("output_grad", outputGrad, ValueDims), .. Tensors<T>(inputs), Tensor<T>("output", output, ValueDims),
        Tensor<long>("routing", [.. routing.Select(region => (double)region)], [N, Regions, TopK]),
        Tensor<float>("logsumexp", logSumExp, [N, Heads, H, W]),
    ];

    internal static NamedOnnxValue Tensor<T>(string name, double[] values, long[] dims) where T : unmanaged, INumber<T>
    {
        int[] sizes = [.. dims.Select(dim => (int)dim)];
        return typeof(T) == typeof(Half)
            ? NamedOnnxValue.CreateFromTensor(name, new DenseTensor<Float16>(values.Select(value => new Float16(BitConverter.HalfToUInt16Bits((Half)value))).ToArray(), sizes))
            : NamedOnnxValue.CreateFromTensor(name, new DenseTensor<T>(values.Select(T.CreateTruncating).ToArray(), sizes));
    }

    internal static double[] Numbers(DisposableNamedOnnxValue tensor) => tensor.ElementType switch
    {
        TensorElementType.Float => [.. tensor.AsTensor<float>().Select(x => (double)x)],
        TensorElementType.Double => [.. tensor.AsTensor<double>()],
        TensorElementType.Float16 => [.. tensor.AsTensor<Float16>().Select(x => (double)BitConverter.UInt16BitsToHalf(x.value))],
        TensorElementType.Int64 => [.. tensor.AsTensor<long>().Select(x => (double)x)],
        _ => throw new NotSupportedException($"{tensor.ElementType}"),
    };

    internal SingleNodeModel ForwardModel(TensorElementType type, bool allOutputs = true)
    {
        var model = WithAttributes(new SingleNodeModel("ml.attention", "BiLevelRoutingAttention"))
            .Input("query", type, QueryDims).Input("key", type, QueryDims).Input("value", type, ValueDims)
            .Output("output", type);
        return allOutputs ? model.Output("routing", TensorElementType.Int64).Output("logsumexp", TensorElementType.Float) : model;
    }

    internal SingleNodeModel BackwardModel(TensorElementType type) =>
        WithAttributes(new SingleNodeModel("ml.attention", "BiLevelRoutingAttentionGrad"))
            .Input("output_grad", type, ValueDims)
            .Input("query", type, QueryDims).Input("key", type, QueryDims).Input("value", type, ValueDims)
            .Input("output", type, ValueDims).Input("routing", TensorElementType.Int64, N, Regions, TopK)
            .Input("logsumexp", TensorElementType.Float, N, Heads, H, W)
            .Output("query_grad", type).Output("key_grad", type).Output("value_grad", type);

    private SingleNodeModel WithAttributes(SingleNodeModel model)
    {
        model.Attribute("num_heads", Heads).Attribute("window_count", Windows).Attribute("top_k", TopK);
        return Scale is { } scale ? model.Attribute("scale", scale) : model;
    }
}
