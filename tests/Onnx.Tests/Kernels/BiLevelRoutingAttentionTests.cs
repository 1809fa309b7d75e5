using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

public sealed class BiLevelRoutingAttentionTests
{
    private static readonly Dictionary<int, CustomOpDomain> Domains = new()
    {
        [512] = Domain(
            attributes => new BiLevelRoutingAttentionKernel<float, Vector512<float>, Simd512<float>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<double, Vector512<double>, Simd512<double>>(attributes)),
        [256] = Domain(
            attributes => new BiLevelRoutingAttentionKernel<float, Vector256<float>, Simd256<float>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<double, Vector256<double>, Simd256<double>>(attributes)),
        [128] = Domain(
            attributes => new BiLevelRoutingAttentionKernel<float, Vector128<float>, Simd128<float>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<double, Vector128<double>, Simd128<double>>(attributes)),
    };

    private static readonly Lazy<BiLevelRoutingReference>[] References =
        [.. BiLevelRoutingCase.Corners.Select(sizes => new Lazy<BiLevelRoutingReference>(() => new(sizes)))];

    public static TheoryData<int, int> Cases
    {
        get
        {
            var data = new TheoryData<int, int>();
            foreach (var bits in Domains.Keys)
            {
                for (var i = 0; i < BiLevelRoutingCase.Corners.Length; i++)
                    data.Add(bits, i);
            }
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void FloatsEqualTheDefinition(int bits, int corner) => Check<float>(bits, corner, TensorElementType.Float, 2e-6);

    [Theory, MemberData(nameof(Cases))]
    public void DoublesEqualTheDefinition(int bits, int corner) => Check<double>(bits, corner, TensorElementType.Double, 1e-12);

    [Fact]
    public void TiesGoToTheLowerRegion()
    {
        var sizes = new BiLevelRoutingCase(1, 8, 8, 4, 4, 1, 4, 5);
        var ones = Enumerable.Repeat(1.0, 8 * 8 * 4).ToArray();
        var (_, routing, _) = Run<float>(sizes.ForwardModel(TensorElementType.Float), options => KernelLibrary.Register(options), sizes, [ones, ones, ones]);
        Assert.Equal(Enumerable.Repeat(new long[] { 0, 1, 2, 3, 4 }, 16).SelectMany(row => row), routing);
    }

    [Fact]
    public void OptionalOutputsCanBeLeftOut()
    {
        var sizes = BiLevelRoutingCase.Corners[0];
        var inputs = sizes.Inputs;
        using var session = sizes.ForwardModel(TensorElementType.Float, allOutputs: false).Session(options => KernelLibrary.Register(options));
        using var results = session.Run(sizes.Tensors<float>(inputs));
        BiLevelRoutingCase.AssertClose(References[0].Value.Output, [.. results[0].AsTensor<float>().Select(x => (double)x)], 2e-6);
    }

    [Fact]
    public void AnEmptyBatchGivesAnEmptyOutput()
    {
        var sizes = new BiLevelRoutingCase(0, 8, 8, 4, 4, 1, 4, 5);
        var (output, routing, _) = Run<float>(sizes.ForwardModel(TensorElementType.Float), options => KernelLibrary.Register(options), sizes, [[], [], []]);
        Assert.Empty(output);
        Assert.Empty(routing);
    }

    [Theory]
    [InlineData(1, 7, 17, "top_k is 17, but a map of 8 x 8 with window_count 4 has 16 regions")]
    [InlineData(3, 8, 1, "query has 8 and value 6 channels, expected multiples of num_heads = 3")]
    public void SizesThatDoNotFitAreNamed(int heads, int channels, int topK, string message)
    {
        var sizes = new BiLevelRoutingCase(1, 8, 8, channels, 6, heads, 4, topK);
        var error = Assert.Throws<OnnxRuntimeException>(() =>
            Run<float>(sizes.ForwardModel(TensorElementType.Float), options => KernelLibrary.Register(options), sizes, sizes.Inputs));
        Assert.Contains($"ml.attention::BiLevelRoutingAttention: {message}", error.Message);
    }

    [Fact]
    public void AKeyOfAnotherShapeIsNamed()
    {
        using var session = new SingleNodeModel("ml.attention", "BiLevelRoutingAttention")
            .Attribute("num_heads", 1).Attribute("window_count", 2).Attribute("top_k", 1)
            .Input("query", TensorElementType.Float, -1, -1, -1, -1).Input("key", TensorElementType.Float, -1, -1, -1, -1)
            .Input("value", TensorElementType.Float, -1, -1, -1, -1).Output("output", TensorElementType.Float)
            .Session(options => KernelLibrary.Register(options));
        var tensor = new DenseTensor<float>([1, 4, 4, 2]);
        var error = Assert.Throws<OnnxRuntimeException>(() => session.Run([
            NamedOnnxValue.CreateFromTensor("query", tensor),
            NamedOnnxValue.CreateFromTensor("key", new DenseTensor<float>([1, 4, 4, 3])),
            NamedOnnxValue.CreateFromTensor("value", tensor)]));
        Assert.Contains("BiLevelRoutingAttention: input 'key' has shape [1, 4, 4, 3], expected [N, H, W, Cq] = [1, 4, 4, 2]", error.Message);
    }

    private static void Check<T>(int bits, int corner, TensorElementType type, double tolerance) where T : unmanaged, System.Numerics.INumber<T>
    {
        var sizes = BiLevelRoutingCase.Corners[corner];
        var inputs = sizes.Inputs;
        var (output, routing, logSumExp) = Run<T>(sizes.ForwardModel(type), Domains[bits].AddTo, sizes, inputs);
        var expected = References[corner].Value;
        sizes.AssertRouting(expected.Logits, routing);
        if (!routing.AsSpan().SequenceEqual(expected.Routing))
            expected = new BiLevelRoutingReference(sizes, routing);
        BiLevelRoutingCase.AssertClose(expected.Output, output, tolerance);
        BiLevelRoutingCase.AssertClose(expected.LogSumExp, logSumExp, 2e-6);
    }

    private static (double[] Output, long[] Routing, double[] LogSumExp) Run<T>(
        SingleNodeModel model, Action<SessionOptions> configure, BiLevelRoutingCase sizes, double[][] inputs) where T : unmanaged, System.Numerics.INumber<T>
    {
        using var session = model.Session(configure);
        using var results = session.Run(sizes.Tensors<T>(inputs));
        return (
            [.. results[0].AsTensor<T>().Select(double.CreateChecked)],
            [.. results[1].AsTensor<long>()],
            [.. results[2].AsTensor<float>().Select(x => (double)x)]);
    }

    private static CustomOpDomain Domain(CreateKernel single, CreateKernel @double) => new("ml.attention", [
        BiLevelRoutingKernels.Attention.Cpu<float>(single),
        BiLevelRoutingKernels.Attention.Cpu<double>(@double),
    ]);
}
