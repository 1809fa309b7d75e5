using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The kernels of self-calibrated cross attention and its gradient.</summary>
internal static class SelfCalibratedKernels
{
    private static readonly KernelParameter Index = new("index") { Type = TensorElementType.Int64 };

    private static readonly KernelParameter LogSumExp = new("logsumexp") { Type = TensorElementType.Float };

    private static readonly KernelSignature Attention = new(
        "SelfCalibratedCrossAttention", ["packed", "support", Index], ["output", LogSumExp with { Optional = true }]);

    private static readonly KernelSignature Gradient = new(
        "SelfCalibratedCrossAttentionGrad", ["output_grad", "packed", "support", Index, "output", LogSumExp],
        [new("packed_grad") { ShapeOfInput = 1 }, new("support_grad") { ShapeOfInput = 2 }]);

    public static Kernel[] OfAttention { get; } =
    [
        Attention.Cpu<float>(SimdKernel.Widest(
            attributes => new SelfCalibratedCrossAttentionKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new SelfCalibratedCrossAttentionKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new SelfCalibratedCrossAttentionKernel<Vector128<float>, Simd128<float>>(attributes))),
        Attention.Cuda<float>(attributes => new SelfCalibratedCrossAttentionKernel<float>(attributes)),
        Attention.Cuda<Half>(attributes => new SelfCalibratedCrossAttentionKernel<Half>(attributes)),
    ];

    public static Kernel[] OfGradient { get; } =
    [
        Gradient.Cpu<float>(SimdKernel.Widest(
            attributes => new SelfCalibratedCrossAttentionGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new SelfCalibratedCrossAttentionGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new SelfCalibratedCrossAttentionGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        Gradient.Cuda<float>(attributes => new SelfCalibratedCrossAttentionGradKernel<float>(attributes)),
        Gradient.Cuda<Half>(attributes => new SelfCalibratedCrossAttentionGradKernel<Half>(attributes)),
    ];
}
