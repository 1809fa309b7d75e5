using System.Numerics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The CUDA kernels of bi-level routing attention against the definition.</summary>
public sealed class BiLevelRoutingCudaTests
{
    public static TheoryData<int> Corners => [.. Enumerable.Range(0, BiLevelRoutingCase.Corners.Length)];

    [Theory, MemberData(nameof(Corners))]
    public void FloatForwardEqualsTheDefinition(int corner) => CheckForward<float>(corner, TensorElementType.Float, 5e-6);

    [Theory, MemberData(nameof(Corners))]
    public void HalfForwardEqualsTheDefinition(int corner) => CheckForward<Half>(corner, TensorElementType.Float16, 1e-3);

    [Theory, MemberData(nameof(Corners))]
    public void FloatGradientEqualsTheDefinition(int corner) => CheckGradient<float>(corner, TensorElementType.Float, 1e-5);

    [Theory, MemberData(nameof(Corners))]
    public void HalfGradientEqualsTheDefinition(int corner) => CheckGradient<Half>(corner, TensorElementType.Float16, 2e-3);

    [Fact]
    public void TheGradientIsTheSameEachTime()
    {
        CudaSession.SkipWithoutGpu();
        var (first, second) = (Gradient<float>(1, TensorElementType.Float), Gradient<float>(1, TensorElementType.Float));
        Assert.Equal(first.Actual, second.Actual);
    }

    [Fact]
    public void TiesGoToTheLowerRegion()
    {
        CudaSession.SkipWithoutGpu();
        var sizes = new BiLevelRoutingCase(1, 8, 8, 4, 4, 1, 4, 5);
        var ones = Enumerable.Repeat(1.0, 8 * 8 * 4).ToArray();
        using var session = sizes.ForwardModel(TensorElementType.Float).Session(CudaSession.Register);
        using var results = session.Run(sizes.Tensors<float>([ones, ones, ones]));
        Assert.Equal(Enumerable.Repeat(new long[] { 0, 1, 2, 3, 4 }, 16).SelectMany(row => row), results[1].AsTensor<long>());
    }

    private static void CheckForward<T>(int corner, TensorElementType type, double tolerance) where T : unmanaged, INumber<T>
    {
        CudaSession.SkipWithoutGpu();
        var sizes = BiLevelRoutingCase.Corners[corner];
        using var session = sizes.ForwardModel(type).Session(CudaSession.Register);
        using var results = session.Run(sizes.Tensors<T>(sizes.Inputs));
        long[] routing = [.. results[1].AsTensor<long>()];
        sizes.AssertRouting(new BiLevelRoutingReference(sizes).Logits, routing);
        var expected = new BiLevelRoutingReference(sizes, routing);
        BiLevelRoutingCase.AssertClose(expected.Output, BiLevelRoutingCase.Numbers(results[0]), tolerance);
        BiLevelRoutingCase.AssertClose(expected.LogSumExp, BiLevelRoutingCase.Numbers(results[2]), 5e-6);
    }

    private static void CheckGradient<T>(int corner, TensorElementType type, double tolerance) where T : unmanaged, INumber<T>
    {
        CudaSession.SkipWithoutGpu();
        var (expected, actual) = Gradient<T>(corner, type);
        for (var i = 0; i < 3; i++)
            BiLevelRoutingCase.AssertClose(expected[i], actual[i], tolerance);
    }

    private static (double[][] Expected, double[][] Actual) Gradient<T>(int corner, TensorElementType type) where T : unmanaged, INumber<T>
    {
        var sizes = BiLevelRoutingCase.Corners[corner];
        var reference = new BiLevelRoutingReference(sizes);
        using var session = sizes.BackwardModel(type).Session(CudaSession.Register);
        using var results = session.Run(
            sizes.GradTensors<T>(sizes.Inputs, sizes.OutputGrad, reference.Output, reference.Routing, reference.LogSumExp));
        return (reference.Gradient(sizes.OutputGrad), [.. results.Select(BiLevelRoutingCase.Numbers)]);
    }
}
