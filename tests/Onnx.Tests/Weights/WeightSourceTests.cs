using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

public class WeightSourceTests
{
    [Fact]
    public void Random_values_depend_on_seed_and_name_only()
    {
        var start = Initialization.TruncatedNormal();
        var first = new RandomWeights(1).Find("a.weight", [8, 8], start);
        var source = new RandomWeights(1);
        source.Find("b.weight", [3], start);
        Assert.Equal(first.Data.ToArray(), source.Find("a.weight", [8, 8], start).Data.ToArray());
        Assert.NotEqual(first.Data.ToArray(), source.Find("b.weight", [8, 8], start).Data.ToArray());
        Assert.NotEqual(first.Data.ToArray(), new RandomWeights(2).Find("a.weight", [8, 8], start).Data.ToArray());
    }

    [Fact]
    public void Values_follow_the_distribution_asked_for()
    {
        var source = new RandomWeights(3);
        var normal = source.Find("n", [20000], Initialization.TruncatedNormal(0.02)).AsSpan<float>().ToArray();
        Assert.InRange(normal.Average(), -0.001, 0.001);
        Assert.InRange(Math.Sqrt(normal.Average(value => value * value)), 0.0195, 0.0205);
        var cut = source.Find("n", [20000], Initialization.TruncatedNormal(1, 0.5)).AsSpan<float>().ToArray();
        Assert.InRange(cut.Max(), 0.49f, 0.5f);
        Assert.InRange(cut.Min(), -0.5f, -0.49f);
        var uniform = source.Find("u", [20000], Initialization.FanIn(16)).AsSpan<float>().ToArray();
        Assert.InRange(uniform.Max(), 0.249f, 0.25f);
        Assert.InRange(uniform.Min(), -0.25f, -0.249f);
        Assert.All(source.Find("o", [5], Initialization.Ones).AsSpan<float>().ToArray(), value => Assert.Equal(1, value));
        Assert.All(source.Find("c", [5], Initialization.Constant(0.5f)).AsSpan<float>().ToArray(), value => Assert.Equal(0.5f, value));
    }

    [Fact]
    public void Checkpoints_of_any_floating_point_type_become_float32()
    {
        float[] values = [0, 1.5f, -2.25f];
        var checkpoint = new Checkpoint(new Dictionary<string, Tensor>
        {
            ["f32"] = Tensor.Create<float>(values, 3),
            ["f64"] = Tensor.Create<double>([0, 1.5, -2.25], 3),
            ["f16"] = Tensor.Create<Half>([(Half)0, (Half)1.5f, (Half)(-2.25f)], 3),
            ["bf16"] = new(TensorElementType.BFloat16, [3], new byte[] { 0, 0, 0xC0, 0x3F, 0x10, 0xC0 }),
            ["i64"] = Tensor.Int64(1, 2, 3),
        });
        foreach (var name in new[] { "f32", "f64", "f16", "bf16" })
            Assert.Equal(values, checkpoint.Find(name, [3], Initialization.Zeros)!.AsSpan<float>().ToArray());
        Assert.Contains("'i64'", Assert.Throws<InvalidDataException>(() => checkpoint.Find("i64", [3], Initialization.Zeros)).Message);
        Assert.Null(checkpoint.Find("other", [3], Initialization.Zeros));
    }

    [Fact]
    public void Counters_of_batch_normalisation_are_not_surplus() =>
        Assert.Equal(["norm.weight"], new Checkpoint(new Dictionary<string, Tensor>
        {
            ["norm.weight"] = Tensor.Scalar(1f), ["norm.num_batches_tracked"] = Tensor.Scalar(9L),
        }).Names);

    [Fact]
    public void Files_of_other_kinds_are_refused_by_name()
    {
        var path = Path.GetTempFileName();
        try
        {
            Assert.Contains($"'{path}'", Assert.Throws<NotSupportedException>(() => Checkpoint.Load(path)).Message);
            File.WriteAllText(path, "neither one nor the other");
            Assert.Contains($"'{path}'", Assert.Throws<NotSupportedException>(() => Checkpoint.Load(path)).Message);
        }
        finally
        {
            File.Delete(path);
        }
    }
}
