using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Vision.Tests;

public sealed class TargetsTests
{
    [Fact]
    public void AreShareAndSmoothingTimesTheWeightOfEachClass()
    {
        var target = new float[4];
        new Targets([1, 2, 0.5f, 1], labelSmoothing: 0.2f).Write(target, label: 1, otherLabel: 3, share: 0.75f);
        // 0.2 / 4 everywhere, 0.8 * 0.75 for class 1 and 0.8 * 0.25 for class 3, then the weights.
        Assert.Equal([0.05f, 1.3f, 0.025f, 0.25f], target, (expected, actual) => Math.Abs(expected - actual) < 1e-6f);
    }

    [Fact]
    public void TheLossIsTheHandComputedCrossEntropy()
    {
        var targets = new float[6];
        var rule = new Targets([0.5f, 1.5f, 1], labelSmoothing: 0.3f);
        rule.Write(targets.AsSpan(0, 3), 0, 0, 1);
        rule.Write(targets.AsSpan(3, 3), 2, 1, 0.6f);
        var graph = new GraphBuilder();
        graph.Output("loss", Losses.CrossEntropy(
            graph.Input("logits", TensorElementType.Float, [2, 3]), graph.Input("targets", TensorElementType.Float, [2, 3])));
        using var session = new InferenceSession(graph.ToModel().ToBytes());
        float[] logits = [MathF.Log(0.5f), MathF.Log(0.3f), MathF.Log(0.2f), MathF.Log(0.1f), MathF.Log(0.2f), MathF.Log(0.7f)];
        using var results = session.Run(
        [
            NamedOnnxValue.CreateFromTensor("logits", new DenseTensor<float>(logits, [2, 3])),
            NamedOnnxValue.CreateFromTensor("targets", new DenseTensor<float>(targets, [2, 3])),
        ]);

        // First: (0.8, 0.1, 0.1), second: (0.1, 0.38, 0.52) before the weights.
        var first = -(0.5 * 0.8 * Math.Log(0.5) + 1.5 * 0.1 * Math.Log(0.3) + 0.1 * Math.Log(0.2));
        var second = -(0.5 * 0.1 * Math.Log(0.1) + 1.5 * 0.38 * Math.Log(0.2) + 0.52 * Math.Log(0.7));
        Assert.Equal((first + second) / 2, results[0].AsTensor<float>().Single(), 1e-6);
    }

    [Fact]
    public void BalancedWeightsAreInverseToTheCountsWithAMeanOfOne()
    {
        // As scikit-learn's compute_class_weight("balanced"): n / (classes * count).
        Assert.Equal([100 / (3 * 60f), 100 / (3 * 30f), 100 / (3 * 10f)], ClassWeights.Balanced.Resolve(["a", "b", "c"], [60, 30, 10]),
            (expected, actual) => Math.Abs(expected - actual) < 1e-6f);
    }

    [Fact]
    public void WeightsByNameKeepTheirRatio()
    {
        var weights = ClassWeights.Of(new Dictionary<string, float> { ["b"] = 3 }).Resolve(["a", "b"], [30, 10]);
        Assert.Equal(3, weights[1] / weights[0], 1e-6);
        Assert.Equal(40, 30 * weights[0] + 10 * weights[1], 1e-4);
        var unknown = ClassWeights.Of(new Dictionary<string, float> { ["dog"] = 2 });
        Assert.Contains("class 'dog', but the classes are a, b",
            Assert.Throws<ArgumentException>(() => unknown.Resolve(["a", "b"], [1, 1])).Message);
        Assert.Contains("'a' is -1",
            Assert.Throws<ArgumentException>(() => ClassWeights.Of(new Dictionary<string, float> { ["a"] = -1 })).Message);
    }
}
