using System.Numerics;
using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

public sealed class BiLevelRoutingAttentionGradTests
{
    private static readonly Dictionary<int, CustomOpDomain> Domains = new()
    {
        [512] = Domain(
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector512<float>, Simd512<float>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector512<double>, Simd512<double>>(attributes)),
        [256] = Domain(
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector256<float>, Simd256<float>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector256<double>, Simd256<double>>(attributes)),
        [128] = Domain(
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector128<float>, Simd128<float>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector128<double>, Simd128<double>>(attributes)),
    };

    private static readonly Lazy<(BiLevelRoutingReference Forward, double[][] Gradient)>[] References =
    [
        .. BiLevelRoutingCase.Corners.Select(sizes => new Lazy<(BiLevelRoutingReference, double[][])>(() =>
        {
            var reference = new BiLevelRoutingReference(sizes);
            return (reference, reference.Gradient(sizes.OutputGrad));
        })),
    ];

    public static TheoryData<int, int> Cases => BiLevelRoutingAttentionTests.Cases;

    [Theory, MemberData(nameof(Cases))]
    public void FloatsEqualTheDefinition(int bits, int corner) => Check<float>(bits, corner, TensorElementType.Float, 5e-6);

    [Theory, MemberData(nameof(Cases))]
    public void DoublesEqualTheDefinition(int bits, int corner) => Check<double>(bits, corner, TensorElementType.Double, 1e-6);

    [Fact]
    public void TheDefinitionOfTheGradientEqualsCentralDifferences()
    {
        foreach (var sizes in BiLevelRoutingCase.Corners.Where(sizes => sizes.N * sizes.H * sizes.W * (2 * sizes.Cq + sizes.C) < 1500))
        {
            var (routing, outputGrad) = (new BiLevelRoutingReference(sizes).Routing, sizes.OutputGrad);
            var gradients = new BiLevelRoutingReference(sizes).Gradient(outputGrad);
            double Loss(double[][] inputs) =>
                new BiLevelRoutingReference(sizes, inputs, routing).Output.Zip(outputGrad, (output, grad) => output * grad).Sum();
            for (var input = 0; input < 3; input++)
            {
                for (var i = 0; i < gradients[input].Length; i += 11)
                {
                    var (above, below) = (sizes.Inputs, sizes.Inputs);
                    above[input][i] += 1e-5;
                    below[input][i] -= 1e-5;
                    Assert.Equal((Loss(above) - Loss(below)) / 2e-5, gradients[input][i], 1e-8);
                }
            }
        }
    }

    [Fact]
    public void TheNumberOfThreadsDoesNotChangeABit()
    {
        var one = Run<float>(TensorElementType.Float, BiLevelRoutingCase.Corners[1], References[1].Value.Forward, Register, threads: 1);
        var two = Run<float>(TensorElementType.Float, BiLevelRoutingCase.Corners[1], References[1].Value.Forward, Register, threads: 2);
        Assert.Equal(one, two);
    }

    [Fact]
    public void ARoutingBeyondTheRegionsIsNamed()
    {
        var sizes = BiLevelRoutingCase.Corners[0];
        using var session = sizes.BackwardModel(TensorElementType.Float).Session(Register);
        var reference = References[0].Value.Forward;
        var routing = reference.Routing.ToArray();
        routing[5] = 49;
        var error = Assert.Throws<OnnxRuntimeException>(() =>
            session.Run(sizes.GradTensors<float>(sizes.Inputs, sizes.OutputGrad, reference.Output, routing, reference.LogSumExp)));
        Assert.Contains("ml.attention::BiLevelRoutingAttentionGrad: routing has region 49, but there are 49", error.Message);
    }

    private static void Check<T>(int bits, int corner, TensorElementType type, double tolerance) where T : unmanaged, INumber<T>
    {
        var (forward, gradient) = References[corner].Value;
        var results = Run<T>(type, BiLevelRoutingCase.Corners[corner], forward, Domains[bits].AddTo);
        for (var i = 0; i < 3; i++)
            BiLevelRoutingCase.AssertClose(gradient[i], results[i], tolerance);
    }

    private static double[][] Run<T>(
        TensorElementType type, BiLevelRoutingCase sizes, BiLevelRoutingReference forward, Action<SessionOptions> register, int threads = 2)
        where T : unmanaged, INumber<T>
    {
        using var session = sizes.BackwardModel(type).Session(options =>
        {
            options.IntraOpNumThreads = threads;
            register(options);
        });
        using var results = session.Run(sizes.GradTensors<T>(sizes.Inputs, sizes.OutputGrad, forward.Output, forward.Routing, forward.LogSumExp));
        return [.. results.Select(BiLevelRoutingCase.Numbers)];
    }

    private static void Register(SessionOptions options) => KernelLibrary.Register(options);

    private static CustomOpDomain Domain(CreateKernel single, CreateKernel @double) => new("ml.attention", [
        BiLevelRoutingKernels.Gradient.Cpu<float>(single),
        BiLevelRoutingKernels.Gradient.Cpu<double>(@double),
    ]);
}
