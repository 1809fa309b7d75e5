using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// The kernels of multi-head attention, of separate inputs and of a packed one, of box-relative attention, and of the gradients.
/// </summary>
internal static class MultiHeadAttentionKernels
{
    private static readonly KernelParameter LogSumExp = new("logsumexp") { Type = TensorElementType.Float };

    private static readonly KernelParameter[] Outputs = ["output", LogSumExp with { Optional = true }];

    private static readonly KernelParameter[] BoxBiases =
    [
        new("column_bias") { Type = TensorElementType.Float }, new("row_bias") { Type = TensorElementType.Float },
        new("extent") { Type = TensorElementType.Int64 },
    ];

    private static readonly KernelParameter BiasGrad = new("bias_grad") { Optional = true };

    private static readonly KernelSignature Attention = new("MultiHeadAttention", ["query", "key", "value", "bias"], Outputs);

    private static readonly KernelSignature SelfAttention = new("MultiHeadSelfAttention", ["packed", "bias"], Outputs);

    private static readonly KernelSignature Gradient = new(
        "MultiHeadAttentionGrad", ["output_grad", "query", "key", "value", "bias", "output", LogSumExp],
        [
            new("query_grad") { ShapeOfInput = 1 }, new("key_grad") { ShapeOfInput = 2 }, new("value_grad") { ShapeOfInput = 3 },
            BiasGrad with { ShapeOfInput = 4 },
        ]);

    private static readonly KernelSignature SelfGradient = new(
        "MultiHeadSelfAttentionGrad", ["output_grad", "packed", "bias", "output", LogSumExp],
        [new("packed_grad") { ShapeOfInput = 1 }, BiasGrad with { ShapeOfInput = 2 }]);

    public static Kernel[] OfAttention { get; } = Forward(Attention, AttentionForm.Separate);

    public static Kernel[] OfBoxRelative { get; } = Forward(
        new("BoxRelativeAttention", ["query", "key", "value", .. BoxBiases], Outputs), AttentionForm.BoxRelative);

    public static Kernel[] OfBoxRelativeGradient { get; } = Backward(
        new("BoxRelativeAttentionGrad", ["output_grad", "query", "key", "value", .. BoxBiases, "output", LogSumExp],
        [
            new("query_grad") { ShapeOfInput = 1 }, new("key_grad") { ShapeOfInput = 2 }, new("value_grad") { ShapeOfInput = 3 },
            new("column_bias_grad") { ShapeOfInput = 4, Type = TensorElementType.Float },
            new("row_bias_grad") { ShapeOfInput = 5, Type = TensorElementType.Float },
        ]),
        AttentionForm.BoxRelative);

    public static Kernel[] OfSelfAttention { get; } = Forward(SelfAttention, AttentionForm.Packed);

    public static Kernel[] OfGradient { get; } = Backward(Gradient, AttentionForm.Separate);

    public static Kernel[] OfSelfGradient { get; } = Backward(SelfGradient, AttentionForm.Packed);

    private static Kernel[] Forward(KernelSignature signature, AttentionForm form) =>
    [
        signature.Cpu<float>(SimdKernel.Widest(
            attributes => new MultiHeadAttentionKernel<Vector512<float>, Simd512<float>>(attributes, form),
            attributes => new MultiHeadAttentionKernel<Vector256<float>, Simd256<float>>(attributes, form),
            attributes => new MultiHeadAttentionKernel<Vector128<float>, Simd128<float>>(attributes, form))),
        signature.Cuda<float>(attributes => new MultiHeadAttentionKernel<float>(attributes, form)),
        signature.Cuda<Half>(attributes => new MultiHeadAttentionKernel<Half>(attributes, form)),
    ];

    private static Kernel[] Backward(KernelSignature signature, AttentionForm form) =>
    [
        signature.Cpu<float>(SimdKernel.Widest(
            attributes => new MultiHeadAttentionGradKernel<Vector512<float>, Simd512<float>>(attributes, form),
            attributes => new MultiHeadAttentionGradKernel<Vector256<float>, Simd256<float>>(attributes, form),
            attributes => new MultiHeadAttentionGradKernel<Vector128<float>, Simd128<float>>(attributes, form))),
        signature.Cuda<float>(attributes => new MultiHeadAttentionGradKernel<float>(attributes, form)),
        signature.Cuda<Half>(attributes => new MultiHeadAttentionGradKernel<Half>(attributes, form)),
    ];
}
