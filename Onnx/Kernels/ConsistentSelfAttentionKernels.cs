using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The kernels of consistent self-attention.</summary>
internal static class ConsistentSelfAttentionKernels
{
    private static readonly KernelSignature Attention = new(
        "ConsistentSelfAttention",
        [
            "query", "key", "value", "bank_key", "bank_value", new("key_mask") { Type = TensorElementType.Bool },
            new("mode") { Type = TensorElementType.Int32, OnHost = true },
        ],
        [new("output") { ShapeOfInput = 0 }, new("logsumexp") { Type = TensorElementType.Float, Optional = true }]);

    public static Kernel[] All { get; } =
    [
        Attention.Cpu<float>(SimdKernel.Widest(
            attributes => new ConsistentSelfAttentionKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new ConsistentSelfAttentionKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new ConsistentSelfAttentionKernel<Vector128<float>, Simd128<float>>(attributes))),
        Attention.Cuda<float>(attributes => new ConsistentSelfAttentionKernel<float>(attributes)),
        Attention.Cuda<Half>(attributes => new ConsistentSelfAttentionKernel<Half>(attributes)),
    ];
}
