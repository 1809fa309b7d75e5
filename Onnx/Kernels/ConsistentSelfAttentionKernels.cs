using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The kernels of consistent self-attention and its gradient.</summary>
internal static class ConsistentSelfAttentionKernels
{
    private static readonly KernelParameter[] Inputs =
    [
        "query", "key", "value", "bank_key", "bank_value", new("key_mask") { Type = TensorElementType.Bool },
        new("mode") { Type = TensorElementType.Int32, OnHost = true },
    ];

    private static readonly KernelParameter LogSumExp = new("logsumexp") { Type = TensorElementType.Float };

    private static readonly KernelSignature Attention = new(
        "ConsistentSelfAttention", Inputs, [new("output") { ShapeOfInput = 0 }, LogSumExp with { Optional = true }]);

    private static readonly KernelSignature Gradient = new(
        "ConsistentSelfAttentionGrad", ["output_grad", .. Inputs, "output", LogSumExp],
        [
            new("query_grad") { ShapeOfInput = 1 }, new("key_grad") { ShapeOfInput = 2 }, new("value_grad") { ShapeOfInput = 3 },
            new("bank_key_grad") { ShapeOfInput = 4 }, new("bank_value_grad") { ShapeOfInput = 5 },
        ]);

    public static Kernel[] OfAttention { get; } =
    [
        Attention.Cpu<float>(SimdKernel.Widest(
            attributes => new ConsistentSelfAttentionKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new ConsistentSelfAttentionKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new ConsistentSelfAttentionKernel<Vector128<float>, Simd128<float>>(attributes))),
        Attention.Cuda<float>(attributes => new ConsistentSelfAttentionKernel<float>(attributes)),
        Attention.Cuda<Half>(attributes => new ConsistentSelfAttentionKernel<Half>(attributes)),
    ];

    /// <summary>Only for the CPU: on CUDA the definition comes down to the kernels of multi-head attention's gradient.</summary>
    public static Kernel[] OfGradient { get; } =
    [
        Gradient.Cpu<float>(SimdKernel.Widest(
            attributes => new ConsistentSelfAttentionGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new ConsistentSelfAttentionGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new ConsistentSelfAttentionGradKernel<Vector128<float>, Simd128<float>>(attributes))),
    ];
}
