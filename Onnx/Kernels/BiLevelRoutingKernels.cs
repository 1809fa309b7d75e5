using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The kernels of bi-level routing attention and of its gradient.</summary>
internal static class BiLevelRoutingKernels
{
    public static readonly KernelSignature Attention = new(
        "BiLevelRoutingAttention",
        ["query", "key", "value"],
        [
            new("output") { ShapeOfInput = 2 },
            new("routing") { Type = TensorElementType.Int64, Optional = true },
            new("logsumexp") { Type = TensorElementType.Float, Optional = true },
        ]);

    public static readonly KernelSignature Gradient = new(
        "BiLevelRoutingAttentionGrad",
        [
            "output_grad", "query", "key", "value", "output",
            new("routing") { Type = TensorElementType.Int64 },
            new("logsumexp") { Type = TensorElementType.Float },
        ],
        [
            new("query_grad") { ShapeOfInput = 1 },
            new("key_grad") { ShapeOfInput = 2 },
            new("value_grad") { ShapeOfInput = 3 },
        ]);

    public static Kernel[] OfAttention { get; } =
    [
        Attention.Cpu<float>(SimdKernel.Widest(
            attributes => new BiLevelRoutingAttentionKernel<float, Vector512<float>, Simd512<float>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<float, Vector256<float>, Simd256<float>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<float, Vector128<float>, Simd128<float>>(attributes))),
        Attention.Cpu<double>(SimdKernel.Widest(
            attributes => new BiLevelRoutingAttentionKernel<double, Vector512<double>, Simd512<double>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<double, Vector256<double>, Simd256<double>>(attributes),
            attributes => new BiLevelRoutingAttentionKernel<double, Vector128<double>, Simd128<double>>(attributes))),
        Attention.Cuda<float>(attributes => new BiLevelRoutingAttentionKernel<float>(attributes)),
        Attention.Cuda<Half>(attributes => new BiLevelRoutingAttentionKernel<Half>(attributes)),
    ];

    public static Kernel[] OfGradient { get; } =
    [
        Gradient.Cpu<float>(SimdKernel.Widest(
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector512<float>, Simd512<float>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector256<float>, Simd256<float>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<float, Vector128<float>, Simd128<float>>(attributes))),
        Gradient.Cpu<double>(SimdKernel.Widest(
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector512<double>, Simd512<double>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector256<double>, Simd256<double>>(attributes),
            attributes => new BiLevelRoutingAttentionGradKernel<double, Vector128<double>, Simd128<double>>(attributes))),
        Gradient.Cuda<float>(attributes => new BiLevelRoutingAttentionGradKernel<float>(attributes)),
        Gradient.Cuda<Half>(attributes => new BiLevelRoutingAttentionGradKernel<Half>(attributes)),
    ];
}
