using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>The kernels of every operator against its definition in standard operators, on the CPU and, where there is one, on a
/// GPU.</summary>
public class OpKernelTests
{
    private static readonly Dictionary<string, Func<Inputs, Value[]>> Cases = new()
    {
        ["GeluGrad"] = inputs => [GeluGrad.Apply(inputs.Next(3, 5, 7), inputs.Next(3, 5, 7))],
        ["GeluGrad of 1"] = inputs => [GeluGrad.Apply(inputs.Next(1), inputs.Next(1))],
        ["BiasGelu"] = inputs => [BiasGelu.Apply(inputs.Next(3, 5, 48), inputs.Next(48))],
        ["BiasGelu of odd rows"] = inputs => [BiasGelu.Apply(inputs.Next(11, 7), inputs.Next(7))],
        ["BiasGelu of wide rows"] = inputs => [BiasGelu.Apply(inputs.Next(19, 1540), inputs.Next(1540))],
        ["BiasGeluGrad"] = inputs => BiasGeluGrad.Apply(inputs.Next(31, 5, 48), inputs.Next(31, 5, 48), inputs.Next(48)),
        ["BiasGeluGrad of odd rows"] = inputs => BiasGeluGrad.Apply(inputs.Next(2001, 7), inputs.Next(2001, 7), inputs.Next(7)),
        ["BiasGeluGrad of wide rows"] = inputs => BiasGeluGrad.Apply(inputs.Next(19, 1540), inputs.Next(19, 1540), inputs.Next(1540)),
        ["BiasGrad of one row"] = inputs => [BiasGrad.Apply(inputs.Next(1, 7), 1)],
        ["BiasGrad of one column"] = inputs => [BiasGrad.Apply(inputs.Next(100003, 1), 1)],
        ["BiasGrad of odd rows"] = inputs => [BiasGrad.Apply(inputs.Next(100003, 7), 1)],
        ["BiasGrad of several axes"] = inputs => [BiasGrad.Apply(inputs.Next(10, 4, 25, 24), 3)],
        ["BiasGrad of many rows"] = inputs => [BiasGrad.Apply(inputs.Next(100003, 24), 1)],
        ["BiasGrad of rows of 384"] = inputs => [BiasGrad.Apply(inputs.Next(1000, 384), 1)],
        ["BiasGrad of wide rows"] = inputs => [BiasGrad.Apply(inputs.Next(19, 1540), 1)],
        ["BiasGrad of maps"] = inputs => [BiasGrad.Apply(inputs.Next(31, 6, 14, 14), 1)],
        ["BiasGrad of odd maps"] = inputs => [BiasGrad.Apply(inputs.Next(3, 2, 57, 61), 1)],
        ["BiasGrad of small maps"] = inputs => [BiasGrad.Apply(inputs.Next(300, 5, 1, 3), 1)],
        ["BiasGrad of volumes"] = inputs => [BiasGrad.Apply(inputs.Next(2, 3, 4, 5, 6), 1)],
        ["RaftMixing"] = inputs => [Raft(inputs, 2, 7, 5, 12, 3, 20)],
        ["RaftMixing of one channel at a time"] = inputs => [Raft(inputs, 1, 5, 3, 9, 1, 10)],
        ["RaftMixing of rows, which are kept or not"] = inputs => [Raft(inputs, 6, 6, 1, 20, 4, 14, keeps: true)],
        ["RaftMixing of large columns"] = inputs => [Raft(inputs, 2, 56, 3, 64, 2, 224)],
        ["RaftMixingGrad"] = inputs => RaftGrad(inputs, 2, 7, 5, 12, 3, 20),
        ["RaftMixingGrad of one channel at a time"] = inputs => RaftGrad(inputs, 1, 5, 3, 9, 1, 10),
        ["RaftMixingGrad of rows, which are kept or not"] = inputs => RaftGrad(inputs, 6, 6, 1, 20, 4, 14, keeps: true),
        ["RaftMixingGrad of large columns"] = inputs => RaftGrad(inputs, 2, 56, 30, 64, 2, 224),
        ["RaftTokens"] = inputs => [RaftTokens(inputs, 2, 7, 5, 12, 3)],
        ["RaftTokens of columns in parts"] = inputs => [RaftTokens(inputs, 1, 70, 2, 770, 2)],
        ["RaftTokensGrad"] = inputs => RaftTokensGrad(inputs, 2, 7, 5, 12, 3),
        ["RaftTokensGrad of columns in parts"] = inputs => RaftTokensGrad(inputs, 1, 70, 2, 770, 2),
        ["RaftResidual"] = inputs => [RaftResidual(inputs, 2, 7, 5, 12, 3, keeps: true)],
        ["RaftResidual of columns in parts"] = inputs => [RaftResidual(inputs, 1, 70, 2, 770, 2, keeps: false)],
        ["RaftResidualGrad"] = inputs => RaftResidualGrad(inputs, 2, 7, 5, 12, 3, keeps: true),
        ["RaftResidualGrad of columns in parts"] = inputs => RaftResidualGrad(inputs, 1, 70, 2, 770, 2, keeps: false),
        ["WindowPartition"] = inputs => [WindowPartition.Apply(inputs.Next(2, 7, 10, 12), 4, 0)],
        ["WindowPartition of a shifted map"] = inputs => [WindowPartition.Apply(inputs.Next(2, 7, 10, 5), 4, 2)],
        ["WindowPartition of whole windows"] = inputs => [WindowPartition.Apply(inputs.Next(1, 6, 3, 8), 3, 1)],
        ["WindowMerge"] = inputs => [WindowMerge.Apply(inputs.Next(12, 16, 12), inputs.Next(2, 7, 10, 1), 4, 0)],
        ["WindowMerge of a shifted map"] = inputs => [WindowMerge.Apply(inputs.Next(12, 16, 5), inputs.Next(2, 7, 10, 5), 4, 2)],
        ["WindowMerge of whole windows"] = inputs => [WindowMerge.Apply(inputs.Next(2, 9, 8), inputs.Next(1, 6, 3, 8), 3, 1)],
        ["SoftmaxGrad of the last axis"] = inputs => [SoftmaxGrad.Apply(inputs.Next(2, 3, 49), inputs.Next(2, 3, 49), -1)],
        ["SoftmaxGrad of rows of fours"] = inputs => [SoftmaxGrad.Apply(inputs.Next(2, 3, 196), inputs.Next(2, 3, 196), -1)],
        ["SoftmaxGrad of a middle axis"] = inputs => [SoftmaxGrad.Apply(inputs.Next(2, 13, 5), inputs.Next(2, 13, 5), 1)],
        ["LayerNormalizationGrad"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(2, 7, 7, 48), inputs.Next(2, 7, 7, 48), inputs.Next(48), -1, 1e-6f),
        ["LayerNormalizationGrad of 1 column"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(5, 1), inputs.Next(5, 1), inputs.Next(1), 1, 1e-3f),
        ["LayerNormalizationGrad of many rows"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(3001, 33), inputs.Next(3001, 33), inputs.Next(33), -1, 1e-5f),
        ["LayerNormalizationGrad of narrow rows"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(1001, 24), inputs.Next(1001, 24), inputs.Next(24), -1, 1e-5f),
        ["LayerNormalizationGrad of wide rows"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(77, 388), inputs.Next(77, 388), inputs.Next(388), -1, 1e-5f),
        ["LayerNormalizationGrad of very wide rows"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(9, 1032), inputs.Next(9, 1032), inputs.Next(1032), -1, 1e-5f),
        ["LayerNormalizationGrad of two axes"] = inputs =>
            LayerNormalizationGrad.Apply(inputs.Next(3, 9, 50), inputs.Next(3, 9, 50), inputs.Next(9, 50), 1, 1e-5f),
        ["BatchNormalizationTraining"] = inputs => BatchNorm(inputs, 4, 6, 9, 5),
        ["BatchNormalizationTraining of rows"] = inputs => BatchNorm(inputs, 37, 3),
        ["BatchNormalizationTraining of planes of fours"] = inputs => BatchNorm(inputs, 5, 3, 6, 6),
        ["BatchNormalizationTraining of large planes"] = inputs => BatchNorm(inputs, 2, 3, 57, 61),
        ["BatchNormalizationGrad"] = inputs =>
            BatchNormalizationGrad.Apply(inputs.Next(4, 6, 9, 5), inputs.Next(4, 6, 9, 5), inputs.NextSingle(6), 1e-5f),
        ["BatchNormalizationGrad of rows"] = inputs =>
            BatchNormalizationGrad.Apply(inputs.Next(37, 3), inputs.Next(37, 3), inputs.NextSingle(3), 1e-5f),
        ["BatchNormalizationGrad of planes of fours"] = inputs =>
            BatchNormalizationGrad.Apply(inputs.Next(5, 3, 6, 6), inputs.Next(5, 3, 6, 6), inputs.NextSingle(3), 1e-5f),
        ["GroupNorm"] = inputs => [GroupNormalized(inputs, 2, 12, 7, 5, 3, silu: false)],
        ["GroupNorm with SiLU"] = inputs => [GroupNormalized(inputs, 3, 8, 6, 6, 4, silu: true)],
        ["GroupNorm of large maps"] = inputs => [GroupNormalized(inputs, 1, 4, 71, 130, 2, silu: true)],
        ["GroupNorm of rows"] = inputs => [GroupNorm.Apply(inputs.Next(5, 6), inputs.NextSingle(6), inputs.NextSingle(6), 2, 1e-3f)],
        ["GroupNormGrad"] = inputs => GroupNormGradient(inputs, 2, 12, 7, 5, 3, silu: false),
        ["GroupNormGrad with SiLU"] = inputs => GroupNormGradient(inputs, 3, 8, 6, 6, 4, silu: true),
        ["GroupNormGrad of large maps"] = inputs => GroupNormGradient(inputs, 1, 4, 71, 130, 2, silu: true),
        ["GroupNormGrad of many examples"] = inputs => GroupNormGradient(inputs, 70, 64, 2, 2, 32, silu: true),
        ["GroupedConvWeightGrad 3x3 depthwise"] = inputs => [WeightGrad(inputs, 5, 6, 6, 9, 11, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 6)],
        ["GroupedConvWeightGrad 5x5 depthwise of small maps"] = inputs =>
            [WeightGrad(inputs, 40, 3, 3, 4, 3, [5, 5], [1, 1], [1, 1], [2, 2, 2, 2], 3)],
        ["GroupedConvWeightGrad 5x5 depthwise of large maps"] = inputs =>
            [WeightGrad(inputs, 3, 2, 2, 56, 56, [5, 5], [1, 1], [1, 1], [2, 2, 2, 2], 2)],
        ["GroupedConvWeightGrad of uneven pads"] = inputs => [WeightGrad(inputs, 2, 4, 4, 8, 7, [3, 1], [1, 1], [1, 1], [0, 0, 2, 0], 4)],
        ["GroupedConvWeightGrad of a stride"] = inputs => [WeightGrad(inputs, 3, 4, 4, 9, 8, [3, 3], [2, 2], [1, 1], [1, 1, 1, 1], 4)],
        ["GroupedConvWeightGrad of a dilation"] = inputs => [WeightGrad(inputs, 2, 4, 4, 9, 8, [3, 3], [1, 1], [2, 2], [2, 2, 2, 2], 4)],
        ["GroupedConvWeightGrad of groups"] = inputs => [WeightGrad(inputs, 2, 4, 6, 7, 5, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], 2)],
        ["AdamWStep"] = inputs => AdamWStep.Apply(
            inputs.Next(1003), inputs.Next(1003), inputs.Next(1003), Gradients.Square(inputs.Next(1003)), inputs.Next(),
            Gradients.Square(inputs.Next(3)) + 0.5,
            new() { ["beta1"] = 0.9f, ["beta2"] = 0.95f, ["epsilon"] = 1e-3f, ["weight_decay"] = 0.1f, ["learning_rate_scale"] = 0.7f }),
        ["AdamWStep that is skipped"] = inputs => AdamWStep.Apply(
            inputs.Next(37), inputs.Next(37), inputs.Next(37), inputs.Next(37), inputs.Builder.Constant(Tensor.Scalar(float.NaN)),
            Gradients.Square(inputs.Next(3)) + 0.5,
            new() { ["beta1"] = 0.9f, ["beta2"] = 0.95f, ["epsilon"] = 1e-3f, ["weight_decay"] = 0.1f, ["learning_rate_scale"] = 0.7f }),
        ["DepthwiseConv 3x3"] = inputs => [Depthwise(inputs, 2, 5, 9, 11, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], bias: true)],
        ["DepthwiseConv 5x5 of small maps without bias"] = inputs =>
            [Depthwise(inputs, 3, 4, 4, 3, [5, 5], [1, 1], [1, 1], [2, 2, 2, 2], bias: false)],
        ["DepthwiseConv of large maps"] = inputs => [Depthwise(inputs, 2, 3, 56, 61, [5, 5], [1, 1], [1, 1], [2, 2, 2, 2], bias: true)],
        ["DepthwiseConv of strides, dilations and uneven pads"] = inputs =>
            [Depthwise(inputs, 2, 3, 12, 10, [3, 2], [2, 3], [2, 1], [0, 1, 3, 2], bias: true)],
        ["ChannelsLastConv 3x3 with residual sum and ReLU"] = inputs =>
            [ChannelsLast(inputs, 2, 9, 11, 16, 24, [3, 3], [1, 1], [1, 1], [1, 1, 1, 1], hasResidual: true, isRectified: true)],
        ["ChannelsLastConv 1x1"] = inputs =>
            [ChannelsLast(inputs, 3, 5, 7, 32, 8, [1, 1], [1, 1], [1, 1], [0, 0, 0, 0], hasResidual: false, isRectified: false)],
        ["ChannelsLastConv of strides and dilations"] = inputs =>
            [ChannelsLast(inputs, 2, 13, 12, 8, 16, [3, 3], [2, 2], [2, 2], [2, 2, 2, 2], hasResidual: false, isRectified: true)],
        ["ChannelsLastDepthwiseConv 7x7"] = inputs =>
            [ChannelsLastDepthwise(inputs, 2, 9, 11, 24, [7, 7], [1, 1], [3, 3, 3, 3])],
        ["ChannelsLastDepthwiseConv of patches"] = inputs =>
            [ChannelsLastDepthwise(inputs, 2, 11, 17, 6, [5, 5], [5, 5], [0, 0, 0, 0])],
        ["ChannelsLastMaxPool"] = inputs => [ChannelsLastPool(inputs, 2, 8, 10, 12, [2, 2], [2, 2], [0, 0, 0, 0])],
        ["ChannelsLastMaxPool of windows that overlap"] = inputs => [ChannelsLastPool(inputs, 1, 9, 7, 4, [3, 3], [2, 2], [1, 1, 1, 1])],
        ["ZeroPad"] = inputs => [ZeroPad.Apply(inputs.Next(2, 3, 5, 12), [1, 2, 0, 4])],
        ["CosineSelfAttention"] = inputs => [Cosine(inputs, 2, 70, 3, 32)],
        ["CosineSelfAttention of a width that tensor cores do not take"] = inputs => [Cosine(inputs, 2, 11, 2, 20)],
        ["CosineSelfAttention of many windows"] = inputs => [Cosine(inputs, 150, 64, 1, 16)],
        ["CosineWindowAttention"] = inputs => [CosineWindow(inputs, 6, 36, 2, 16, 3)],
        ["CosineWindowAttention of odd sizes"] = inputs => [CosineWindow(inputs, 2, 25, 3, 6, 1)],
        ["CosineWindowAttention of many windows"] = inputs => [CosineWindow(inputs, 140, 144, 1, 32, 4)],
        ["AffineSum"] = inputs =>
            [AffineSum.Apply(inputs.Next(3, 5, 12), inputs.Next(12), inputs.Next(3, 5, 12), inputs.Next(12), isRectified: false)],
        ["AffineSum with ReLU"] = inputs =>
            [AffineSum.Apply(inputs.Next(7, 260), inputs.Next(260), inputs.Next(7, 260), inputs.Next(260), isRectified: true)],
        ["EfficientLocalAttention"] = inputs => [LocalAttention(inputs, 2, 32, 14, 14, 1, 7, 16)],
        ["EfficientLocalAttentionGrad"] = inputs => LocalAttentionGrad(inputs, 2, 32, 14, 14, 1, 7, 16),
        ["EfficientLocalAttention of depthwise taps"] = inputs => [LocalAttention(inputs, 3, 64, 9, 13, 1, 5, 32)],
        ["EfficientLocalAttentionGrad of depthwise taps"] = inputs => LocalAttentionGrad(inputs, 3, 64, 9, 13, 1, 5, 32),
        ["EfficientLocalAttention of groups"] = inputs => [LocalAttention(inputs, 2, 32, 10, 17, 8, 7, 16)],
        ["EfficientLocalAttentionGrad of groups"] = inputs => LocalAttentionGrad(inputs, 2, 32, 10, 17, 8, 7, 16),
        ["EfficientLocalAttention of large maps"] = inputs => [LocalAttention(inputs, 1, 16, 57, 40, 8, 5, 16)],
        ["EfficientLocalAttentionGrad of large maps"] = inputs => LocalAttentionGrad(inputs, 1, 16, 57, 40, 8, 5, 16),
        ["EfficientLocalAttention of 144 channels"] = inputs => [LocalAttention(inputs, 1, 144, 12, 11, 8, 5, 16)],
        ["EfficientLocalAttentionGrad of 144 channels"] = inputs => LocalAttentionGrad(inputs, 1, 144, 12, 11, 8, 5, 16),
        ["EfficientLocalAttention of single columns"] = inputs => [LocalAttention(inputs, 2, 48, 20, 1, 1, 7, 16)],
        ["EfficientLocalAttentionGrad of single columns"] = inputs => LocalAttentionGrad(inputs, 2, 48, 20, 1, 1, 7, 16),
        ["EfficientLocalAttention of single positions"] = inputs => [LocalAttention(inputs, 2, 64, 1, 1, 8, 7, 16)],
        ["EfficientLocalAttentionGrad of single positions"] = inputs => LocalAttentionGrad(inputs, 2, 64, 1, 1, 8, 7, 16),
        ["EfficientLocalAttention of maps below the kernel"] = inputs => [LocalAttention(inputs, 2, 32, 2, 3, 8, 7, 16)],
        ["EfficientLocalAttentionGrad of maps below the kernel"] = inputs => LocalAttentionGrad(inputs, 2, 32, 2, 3, 8, 7, 16),
        ["EfficientLocalAttention of blocks of neither group"] = inputs => [LocalAttention(inputs, 2, 12, 6, 5, 4, 3, 2)],
        ["EfficientLocalAttentionGrad of blocks of neither group"] = inputs => LocalAttentionGrad(inputs, 2, 12, 6, 5, 4, 3, 2),
        ["EfficientLocalAttention of maps beyond a CUDA block's memory"] = inputs => [LocalAttention(inputs, 2, 144, 30, 28, 8, 5, 16)],
        ["EfficientLocalAttentionGrad of maps beyond a CUDA block's memory"] = inputs => LocalAttentionGrad(inputs, 2, 144, 30, 28, 8, 5, 16),
        ["GlobalDynamicConvolution of few filters"] = inputs => [Dynamic(inputs, 2, 32, 10, 15, 6)],
        ["GlobalDynamicConvolution of many filters"] = inputs => [Dynamic(inputs, 2, 16, 20, 32, 24)],
        ["GlobalDynamicConvolution of odd sizes"] = inputs => [Dynamic(inputs, 3, 7, 11, 13, 5)],
        ["GlobalDynamicConvolution of odd sizes and many filters"] = inputs => [Dynamic(inputs, 1, 13, 17, 19, 15)],
        ["GlobalDynamicConvolution of one filter"] = inputs => [Dynamic(inputs, 1, 1, 1, 3, 1)],
        ["GlobalDynamicConvolution of several tiles"] = inputs => [Dynamic(inputs, 2, 300, 9, 31, 290)],
        ["MultiHeadAttention"] = inputs => Attention(inputs, new(2, 17, 19, 3, 8, 12)),
        ["MultiHeadAttention of a single query"] = inputs => Attention(inputs, new(3, 1, 5, 2, 5, 3), 2, 1, 5),
        ["MultiHeadAttention of long sequences"] = inputs => Attention(inputs, new(1, 197, 150, 2, 64, 40), 1, 2, 197, 150),
        ["MultiHeadAttention of wide heads"] = inputs => Attention(inputs, new(1, 37, 65, 2, 72, 96), 37, 1),
        ["MultiHeadAttention of many heads"] = inputs => Attention(inputs, new(1, 20, 8, 32, 16, 16)),
        ["MultiHeadAttention under a mask"] = inputs => Masked(inputs, new(2, 9, 33, 2, 6, 10)),
        ["MultiHeadAttentionGrad"] = inputs => AttentionGrad(inputs, new(2, 17, 19, 3, 8, 12)),
        ["MultiHeadAttentionGrad of a single query"] = inputs => AttentionGrad(inputs, new(3, 1, 5, 2, 5, 3), 2, 1, 5),
        ["MultiHeadAttentionGrad of long sequences"] = inputs => AttentionGrad(inputs, new(1, 197, 150, 2, 64, 40), 1, 2, 197, 150),
        ["MultiHeadAttentionGrad of wide heads"] = inputs => AttentionGrad(inputs, new(1, 37, 65, 2, 72, 96), 37, 1),
        ["MultiHeadAttentionGrad of a bias of each sequence"] = inputs => AttentionGrad(inputs, new(3, 40, 34, 2, 24, 20), 3, 1, 1, 34),
        ["MultiHeadAttentionGrad of a bias of each key"] = inputs => AttentionGrad(inputs, new(3, 40, 34, 2, 24, 20), 34),
        ["MultiHeadAttentionGrad of a bias of all"] = inputs => AttentionGrad(inputs, new(2, 5, 7, 2, 4, 4), 1),
        ["MultiHeadSelfAttention of short sequences"] = inputs => SelfAttention(inputs, 50, 16, 4, 6),
        ["MultiHeadSelfAttention of shorter ones"] = inputs => SelfAttention(inputs, 9, 4, 3, 8),
        ["MultiHeadSelfAttention of an odd width"] = inputs => SelfAttention(inputs, 7, 17, 2, 5),
        ["MultiHeadSelfAttention of long sequences"] = inputs => SelfAttention(inputs, 2, 197, 3, 64),
        ["MultiHeadSelfAttention with a bias"] = inputs => SelfAttention(inputs, 2, 36, 3, 20, 1, 3, 36, 36),
        ["MultiHeadSelfAttentionGrad of short sequences"] = inputs => SelfAttentionGrad(inputs, 50, 16, 4, 6),
        ["MultiHeadSelfAttentionGrad of shorter ones"] = inputs => SelfAttentionGrad(inputs, 9, 4, 3, 8),
        ["MultiHeadSelfAttentionGrad of an odd width"] = inputs => SelfAttentionGrad(inputs, 7, 17, 2, 5, 2, 17, 17),
        ["MultiHeadSelfAttentionGrad of long sequences"] = inputs => SelfAttentionGrad(inputs, 2, 197, 3, 64),
        ["MultiHeadSelfAttentionGrad with a bias"] = inputs => SelfAttentionGrad(inputs, 5, 36, 3, 20, 1, 3, 36, 36),
        ["ConsistentSelfAttention of own tokens"] = inputs => Consistent(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 0),
        ["ConsistentSelfAttention of all tokens"] = inputs => Consistent(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 1),
        ["ConsistentSelfAttention of some tokens"] = inputs => Consistent(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 2),
        ["ConsistentSelfAttention of one group"] = inputs => Consistent(inputs, new(1, 4, 9, 20, Heads: 2, Width: 40), mode: 2),
        ["ConsistentSelfAttention without a bank"] = inputs => Consistent(inputs, new(2, 2, 33, 0, Heads: 2, Width: 64), mode: 2),
        ["ConsistentSelfAttention of one image"] = inputs => Consistent(inputs, new(2, 1, 65, 130, Heads: 2, Width: 80), mode: 2),
        ["ConsistentSelfAttention of wide heads"] = inputs => Consistent(inputs, new(1, 2, 17, 23, Heads: 1, Width: 160), mode: 1),
        ["ConsistentSelfAttention of narrow heads"] = inputs => Consistent(inputs, new(2, 2, 6, 3, Heads: 5, Width: 1), mode: 2),
        ["ConsistentSelfAttention of odd heads"] = inputs => Consistent(inputs, new(1, 2, 70, 13, Heads: 2, Width: 13), mode: 2),
        ["ConsistentSelfAttention of one token"] = inputs => Consistent(inputs, new(2, 3, 1, 0, Heads: 1, Width: 3), mode: 1),
        ["ConsistentSelfAttention of several tiles"] = inputs => Consistent(inputs, new(1, 3, 300, 211, Heads: 1, Width: 16), mode: 2),
        ["ConsistentSelfAttention of many own tokens"] = inputs => Consistent(inputs, new(2, 2, 600, 9, Heads: 4, Width: 5), mode: 0),
        ["ConsistentSelfAttention of no key of others"] = inputs =>
            Consistent(inputs, new(2, 2, 20, 11, Heads: 2, Width: 12), mode: 2, _ => false),
        ["ConsistentSelfAttention of every key of others"] = inputs =>
            Consistent(inputs, new(2, 2, 20, 11, Heads: 2, Width: 12), mode: 2, _ => true),
        ["ConsistentSelfAttention of the last key"] = inputs =>
            Consistent(inputs, new(1, 4, 50, 300, Heads: 2, Width: 24), mode: 2, key => key == 499),
        ["ConsistentSelfAttention of a scale of its own"] = inputs =>
            Consistent(inputs, new(1, 2, 20, 4, Heads: 2, Width: 12), mode: 2, scale: 0.9f),
        ["ConsistentSelfAttentionGrad of own tokens"] = inputs => ConsistentGrad(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 0),
        ["ConsistentSelfAttentionGrad of all tokens"] = inputs => ConsistentGrad(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 1),
        ["ConsistentSelfAttentionGrad of some tokens"] = inputs => ConsistentGrad(inputs, new(2, 3, 7, 5, Heads: 3, Width: 8), mode: 2),
        ["ConsistentSelfAttentionGrad without a bank"] = inputs => ConsistentGrad(inputs, new(1, 2, 33, 0, Heads: 2, Width: 40), mode: 2),
        ["ConsistentSelfAttentionGrad of odd heads"] = inputs => ConsistentGrad(inputs, new(2, 2, 37, 13, Heads: 2, Width: 5), mode: 2),
        ["ConsistentSelfAttentionGrad of several tiles"] = inputs => ConsistentGrad(inputs, new(1, 2, 300, 211, Heads: 1, Width: 16), mode: 2),
        ["ConsistentSelfAttentionGrad of a scale of its own"] = inputs =>
            ConsistentGrad(inputs, new(1, 2, 20, 4, Heads: 2, Width: 12), mode: 2, scale: 0.9f),
        ["BoxRelativeAttention"] = inputs => BoxRelative(inputs, 2, 37, 5, 9, 32, 4, 5, 9, 3, 7),
        ["BoxRelativeAttention of one head, query and row"] = inputs => BoxRelative(inputs, 1, 1, 1, 13, 24, 1, 1, 13),
        ["BoxRelativeAttention of a map that is all padding"] = inputs => BoxRelative(inputs, 2, 3, 3, 4, 10, 2, 0, 0, 3, 0),
        ["BoxRelativeAttention of a large map"] = inputs => BoxRelative(inputs, 1, 70, 24, 45, 64, 2, 20, 45),
        ["BoxRelativeAttentionGrad"] = inputs => BoxRelativeGrad(inputs, 2, 37, 5, 9, 32, 4, 5, 9, 3, 7),
        ["BoxRelativeAttentionGrad of one head, query and row"] = inputs => BoxRelativeGrad(inputs, 1, 1, 1, 13, 24, 1, 1, 13),
        ["BoxRelativeAttentionGrad of a map that is all padding"] = inputs => BoxRelativeGrad(inputs, 2, 3, 3, 4, 10, 2, 0, 0, 3, 0),
        ["BoxRelativeAttentionGrad of a large map"] = inputs => BoxRelativeGrad(inputs, 1, 70, 24, 45, 64, 2, 20, 45),
        ["SelfCalibratedCrossAttention"] = inputs => SelfCalibrated(inputs, 2, 3, 16, 2, 4, 16, 4, 8),
        ["SelfCalibratedCrossAttention of windows of 64"] = inputs => SelfCalibrated(inputs, 1, 2, 64, 1, 3, 64, 2, 32),
        ["SelfCalibratedCrossAttention of one support for all"] = inputs => SelfCalibrated(inputs, 3, 4, 9, 1, 2, 9, 2, 5),
        ["SelfCalibratedCrossAttention of several queries to a support"] = inputs => SelfCalibrated(inputs, 4, 2, 25, 2, 3, 25, 1, 12),
        ["SelfCalibratedCrossAttention of windows of different sizes"] = inputs => SelfCalibrated(inputs, 1, 5, 70, 1, 2, 33, 2, 40),
        ["SelfCalibratedCrossAttention of single positions"] = inputs => SelfCalibrated(inputs, 2, 3, 1, 2, 2, 1, 1, 3),
        ["SelfCalibratedCrossAttentionGrad"] = inputs => SelfCalibratedGrad(inputs, 2, 3, 16, 2, 4, 16, 4, 8),
        ["SelfCalibratedCrossAttentionGrad of windows of 64"] = inputs => SelfCalibratedGrad(inputs, 1, 2, 64, 1, 3, 64, 2, 32),
        ["SelfCalibratedCrossAttentionGrad of one support for all"] = inputs => SelfCalibratedGrad(inputs, 3, 4, 9, 1, 2, 9, 2, 5),
        ["SelfCalibratedCrossAttentionGrad of several queries to a support"] = inputs =>
            SelfCalibratedGrad(inputs, 4, 2, 25, 2, 3, 25, 1, 12),
        ["SelfCalibratedCrossAttentionGrad of windows of different sizes"] = inputs =>
            SelfCalibratedGrad(inputs, 1, 5, 70, 1, 2, 33, 2, 40),
        ["SelfCalibratedCrossAttentionGrad of single positions"] = inputs => SelfCalibratedGrad(inputs, 2, 3, 1, 2, 2, 1, 1, 3),
        ["LinearAssignment"] = inputs => [LinearAssignment.Apply(inputs.Next(3, 11, 5), inputs.Builder.Int64(5, 0, 3))],
        ["LinearAssignment of as many queries as targets"] = inputs =>
            [LinearAssignment.Apply(inputs.Next(2, 9, 9), inputs.Builder.Int64(9, 9))],
        ["LinearAssignment of equal costs"] = inputs =>
            [LinearAssignment.Apply(inputs.Next(2, 6, 4) * 0, inputs.Builder.Int64(4, 2))],
        ["BiLevelRoutingAttention"] = inputs => Routed(inputs, 2, 14, 14, 32, 32, 2, 7, 4),
        ["BiLevelRoutingAttention of uneven regions"] = inputs => Routed(inputs, 1, 13, 18, 8, 12, 2, 4, 3),
        ["BiLevelRoutingAttention of a map below the windows"] = inputs => Routed(inputs, 1, 5, 6, 3, 5, 1, 7, 4),
        ["BiLevelRoutingAttentionGrad"] = inputs => RoutedGrad(inputs, 2, 14, 14, 32, 32, 2, 7, 4),
        ["BiLevelRoutingAttentionGrad of uneven regions"] = inputs => RoutedGrad(inputs, 1, 13, 18, 8, 12, 2, 4, 3),
        ["BiLevelRoutingAttentionGrad of a map below the windows"] = inputs => RoutedGrad(inputs, 1, 5, 6, 3, 5, 1, 7, 4),
    };

    public static TheoryData<string> Names => [.. Cases.Keys];

    // Some operators are made for half precision only: sessions on CUDA refuse them in single.
    public static TheoryData<string> NamesInSingleOnCuda =>
        [.. Cases.Keys.Where(name => AttentionOps.All.First(op => op.Name == name.Split(' ')[0]).Kernels
            .Where(kernel => kernel.Provider == KernelProvider.Cuda).ToArray() is var kernels
                && (kernels.Length == 0 || kernels.Any(kernel => kernel.Type == TensorElementType.Float)))];

    public static TheoryData<string> NamesInHalf =>
        [.. Cases.Keys.Where(name => AttentionOps.All.First(op => op.Name == name.Split(' ')[0]).Kernels
            .Any(kernel => kernel.Type == TensorElementType.Float16))];

    [Theory]
    [MemberData(nameof(Names))]
    public void Cpu_kernels_compute_what_the_definition_says(string name) => Check(name, options => KernelLibrary.Register(options));

    [Theory]
    [MemberData(nameof(NamesInSingleOnCuda))]
    public void Cuda_kernels_compute_what_the_definition_says(string name)
    {
        CudaSession.SkipWithoutGpu();
        Check(name, CudaSession.Register);
    }

    [Theory]
    [MemberData(nameof(NamesInHalf))]
    public void Cuda_kernels_in_half_precision_compute_what_the_definition_says(string name)
    {
        CudaSession.SkipWithoutGpu();
        var half = new Inputs(TensorElementType.Float16);
        var model = Model(name, half);
        var single = new Inputs(TensorElementType.Float);
        var expected = SessionRunner.Run(Model(name, single), single.Tensors.ToDictionary(
            pair => pair.Key, pair => ToSingle(half.Tensors[pair.Key])));
        using var options = new SessionOptions();
        CudaSession.Register(options);
        foreach (var (output, actual) in SessionRunner.Run(model, half.Tensors, options))
        {
            Assert.Equal(expected[output].Shape.ToString(), actual.Shape.ToString());
            if (actual.Type == TensorElementType.Int64)
                Assert.Equal(expected[output].Data.ToArray(), actual.Data.ToArray());
            else
                AssertClose(expected[output].AsSpan<float>(), ToSingle(actual).AsSpan<float>(), 2e-3f, $"{name}, {output}");
        }
    }

    [Theory]
    [MemberData(nameof(NamesInHalf))]
    public void Definitions_hold_in_half_precision(string name)
    {
        var half = new Inputs(TensorElementType.Float16);
        var model = Model(name, half);
        var single = new Inputs(TensorElementType.Float);
        var expected = SessionRunner.Run(Model(name, single), single.Tensors.ToDictionary(
            pair => pair.Key, pair => ToSingle(half.Tensors[pair.Key])));
        foreach (var (output, actual) in SessionRunner.Run(model, half.Tensors).Where(pair => pair.Value.Type != TensorElementType.Int64))
            AssertClose(expected[output].AsSpan<float>(), ToSingle(actual).AsSpan<float>(), 2e-2f, $"{name}, {output}");
    }

    [Fact]
    public void Every_operator_with_kernels_has_a_case()
    {
        var tested = Cases.Keys.Select(name => name.Split(' ')[0]).ToHashSet();
        Assert.Empty(AttentionOps.All.Where(op => op.Kernels.Any()).Select(op => op.Name).Except(tested));
    }

    private static void Check(string name, Action<SessionOptions> register)
    {
        var inputs = new Inputs(TensorElementType.Float);
        var model = Model(name, inputs);
        var expected = SessionRunner.Run(model, inputs.Tensors);
        using var options = new SessionOptions();
        register(options);
        foreach (var (output, actual) in SessionRunner.Run(model, inputs.Tensors, options))
        {
            Assert.Equal(expected[output].Shape.ToString(), actual.Shape.ToString());
            if (actual.Type == TensorElementType.Float)
                AssertClose(expected[output].AsSpan<float>(), actual.AsSpan<float>(), 2e-5f, $"{name}, {output}");
            else
                Assert.Equal(expected[output].Data.ToArray(), actual.Data.ToArray());
        }
    }

    private static OnnxModel Model(string name, Inputs inputs)
    {
        var outputs = Cases[name](inputs);
        for (var i = 0; i < outputs.Length; i++)
            inputs.Builder.Output($"result{i}", outputs[i]);
        return inputs.Builder.ToModel();
    }

    private static Tensor ToSingle(Tensor tensor) => tensor.Type == TensorElementType.Float
        ? tensor
        : Tensor.Create<float>(Array.ConvertAll(tensor.AsSpan<Half>().ToArray(), x => (float)x), [.. tensor.Dims]);

    private static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, float tolerance, string what)
    {
        var scale = 0.05f;
        foreach (var value in expected)
            scale = Math.Max(scale, Math.Abs(value));
        for (var i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * scale,
                $"{what}[{i}]: {actual[i]}, expected {expected[i]} (scale {scale})");
    }

    private static Value Raft(Inputs inputs, long n, long h, long w, long c, int raftSize, long hidden, bool keeps = false) =>
        RaftMixing.Apply(
            inputs.Next(n, h, w, c), (inputs.Next(c), inputs.Next(c)), (inputs.Next(hidden, raftSize * h), inputs.Next(hidden)),
            (inputs.Next(raftSize * h, hidden), inputs.Next(raftSize * h)), keeps ? inputs.Next(n) : inputs.Next(), raftSize, 1e-5f);

    private static Value[] RaftGrad(
        Inputs inputs, long n, long h, long w, long c, int raftSize, long hidden, bool keeps = false) =>
        inputs.Builder.Ops(
            nameof(RaftMixingGrad),
            [
                inputs.Next(n, h, w, c), inputs.Next(n, h, w, c), inputs.Next(c), inputs.Next(c), inputs.Next(hidden, raftSize * h),
                inputs.Next(hidden), inputs.Next(raftSize * h, hidden), keeps ? inputs.Next(n) : inputs.Next(),
            ],
            7, new() { ["raft_size"] = raftSize, ["epsilon"] = 1e-5f }, AttentionOp.Domain);

    private static Value RaftTokens(Inputs inputs, long n, long h, long w, long c, long raftSize) =>
        inputs.Builder.Op(
            nameof(Ops.RaftTokens), [inputs.Next(n, h, w, c), inputs.Next(c), inputs.Next(c)],
            new() { ["raft_size"] = raftSize, ["epsilon"] = 1e-5f }, AttentionOp.Domain);

    private static Value[] RaftTokensGrad(Inputs inputs, long n, long h, long w, long c, long raftSize) =>
        inputs.Builder.Ops(
            nameof(Ops.RaftTokensGrad), [inputs.Next(n, w, c / raftSize, raftSize * h), inputs.Next(n, h, w, c), inputs.Next(c)], 3,
            new() { ["raft_size"] = raftSize, ["epsilon"] = 1e-5f }, AttentionOp.Domain);

    private static Value RaftResidual(Inputs inputs, long n, long h, long w, long c, long raftSize, bool keeps) =>
        inputs.Builder.Op(
            nameof(Ops.RaftResidual),
            [
                inputs.Next(n, h, w, c), inputs.Next(n, w, c / raftSize, raftSize * h), inputs.Next(raftSize * h),
                keeps ? inputs.Next(n) : inputs.Next(),
            ],
            new() { ["raft_size"] = raftSize }, AttentionOp.Domain);

    private static Value[] RaftResidualGrad(Inputs inputs, long n, long h, long w, long c, long raftSize, bool keeps) =>
        inputs.Builder.Ops(
            nameof(Ops.RaftResidualGrad), [inputs.Next(n, h, w, c), keeps ? inputs.Next(n) : inputs.Next()], 2,
            new() { ["raft_size"] = raftSize }, AttentionOp.Domain);
    private static Value[] Attention(Inputs inputs, AttentionSizes sizes, params long[] bias) =>
        Attention(inputs.Builder, sizes.Heads, sizes.Inputs(inputs), inputs.Next(bias));

    // Keys that a query must not see: some with a very low score, some with none at all.
    private static Value[] Masked(Inputs inputs, AttentionSizes sizes)
    {
        var noise = inputs.Next(sizes.Queries, sizes.Keys);
        var low = inputs.Builder.Op("Greater", [noise, inputs.Builder.Scalar(0.5, noise)]);
        var none = inputs.Builder.Op("Less", [noise, inputs.Builder.Scalar(-0.7, noise)]);
        var mask = none.Where(
            inputs.Builder.Scalar(double.NegativeInfinity, noise),
            low.Where(inputs.Builder.Scalar(-1e9, noise), inputs.Builder.Scalar(0, noise)));
        return Attention(inputs.Builder, sizes.Heads, sizes.Inputs(inputs), mask);
    }

    private static Value[] Attention(GraphBuilder builder, int heads, Value[] inputs, Value bias) => builder.Ops(
        nameof(MultiHeadAttention), [.. inputs, bias],
        2, new() { ["num_heads"] = heads, ["scale"] = 0.4f }, AttentionOp.Domain);

    private static Value[] AttentionGrad(Inputs inputs, AttentionSizes sizes, params long[] bias)
    {
        var added = inputs.Next(bias);
        var operands = sizes.Inputs(inputs);
        var forward = Attention(inputs.Builder, sizes.Heads, operands, added);
        return inputs.Builder.Ops(
            nameof(MultiHeadAttentionGrad),
            [inputs.Next(sizes.Batch, sizes.Queries, sizes.Heads * sizes.ValueWidth), .. operands, added, forward[0], forward[1]],
            bias.Length == 0 ? 3 : 4, new() { ["num_heads"] = sizes.Heads, ["scale"] = 0.4f }, AttentionOp.Domain);
    }

    private static Value[] SelfAttention(Inputs inputs, long batch, long length, int heads, long width, params long[] bias) =>
        SelfAttention(inputs.Next(batch, length, 3 * heads * width), heads, inputs.Next(bias));

    private static Value[] SelfAttention(Value packed, int heads, Value bias) => packed.Builder.Ops(
        nameof(MultiHeadSelfAttention), [packed, bias], 2, new() { ["num_heads"] = heads, ["scale"] = 0.4f }, AttentionOp.Domain);

    private static Value[] SelfAttentionGrad(Inputs inputs, long batch, long length, int heads, long width, params long[] bias)
    {
        var packed = inputs.Next(batch, length, 3 * heads * width);
        var added = inputs.Next(bias);
        var forward = SelfAttention(packed, heads, added);
        return inputs.Builder.Ops(
            nameof(MultiHeadSelfAttentionGrad), [inputs.Next(batch, length, heads * width), packed, added, forward[0], forward[1]],
            bias.Length == 0 ? 1 : 2, new() { ["num_heads"] = heads, ["scale"] = 0.4f }, AttentionOp.Domain);
    }

    private static Value[] Consistent(Inputs inputs, StorySizes sizes, int mode, Func<int, bool>? allows = null, float scale = 0) =>
        inputs.Builder.Ops(
            nameof(ConsistentSelfAttention), ConsistentInputs(inputs, sizes, mode, allows), 2, sizes.Attributes(scale), AttentionOp.Domain);

    private static Value[] ConsistentGrad(Inputs inputs, StorySizes sizes, int mode, float scale = 0)
    {
        var arguments = ConsistentInputs(inputs, sizes, mode, null);
        var forward = inputs.Builder.Ops(nameof(ConsistentSelfAttention), arguments, 2, sizes.Attributes(scale), AttentionOp.Domain);
        return inputs.Builder.Ops(
            nameof(ConsistentSelfAttentionGrad),
            [inputs.Next(sizes.Groups * sizes.Images, sizes.Tokens, sizes.Heads * sizes.Width), .. arguments, .. forward], 5,
            sizes.Attributes(scale), AttentionOp.Domain);
    }

    // Other layers have modes that must not count.
    private static Value[] ConsistentInputs(Inputs inputs, StorySizes sizes, int mode, Func<int, bool>? allows)
    {
        allows ??= key => key * 7919 % 11 < 5;
        var keys = (int)(sizes.BankTokens + (sizes.Images * sizes.Tokens));
        bool[] mask = [.. Enumerable.Range(0, (int)sizes.Images).SelectMany(i => Enumerable.Range(0, keys).Select(k => allows((i * 3) + k)))];
        return
        [
            .. sizes.Inputs(inputs), inputs.Builder.Constant(Tensor.Create<bool>(mask, sizes.Images, keys)),
            inputs.Builder.Constant(Tensor.Create<int>([(mode + 1) % 3, mode, (mode + 2) % 3], 3)),
        ];
    }

    private static Value[] BoxRelative(
        Inputs inputs, long batch, long queries, long height, long width, long channels, int heads, params long[] extent) =>
        inputs.Builder.Ops(
            nameof(BoxRelativeAttention), BoxRelativeInputs(inputs, batch, queries, height, width, channels, heads, extent), 2,
            new() { ["num_heads"] = heads }, AttentionOp.Domain);

    private static Value[] BoxRelativeGrad(
        Inputs inputs, long batch, long queries, long height, long width, long channels, int heads, params long[] extent)
    {
        var arguments = BoxRelativeInputs(inputs, batch, queries, height, width, channels, heads, extent);
        var forward = inputs.Builder.Ops(
            nameof(BoxRelativeAttention), arguments, 2, new() { ["num_heads"] = heads }, AttentionOp.Domain);
        return inputs.Builder.Ops(
            nameof(BoxRelativeAttentionGrad), [inputs.Next(batch, queries, channels), .. arguments, .. forward], 5,
            new() { ["num_heads"] = heads }, AttentionOp.Domain);
    }

    // The biases are in single precision; the extent is the rows and columns of each map that are no padding.
    private static Value[] BoxRelativeInputs(
        Inputs inputs, long batch, long queries, long height, long width, long channels, int heads, long[] extent) =>
    [
        inputs.Next(batch, queries, channels), inputs.Next(batch, height * width, channels), inputs.Next(batch, height * width, channels),
        inputs.Next(batch, queries, width, heads).Cast(TensorElementType.Float),
        inputs.Next(batch, queries, height, heads).Cast(TensorElementType.Float),
        inputs.Builder.Constant(Tensor.Create<long>(extent, batch, 2)),
    ];

    private static Value[] SelfCalibrated(
        Inputs inputs, long batch, long windows, long length, long supportBatch, long supportWindows, long supportLength, int heads,
        long width) =>
        inputs.Builder.Ops(
            nameof(SelfCalibratedCrossAttention),
            SelfCalibratedInputs(
                inputs, batch, windows, length, supportBatch, supportWindows, supportLength, heads * width, withZeros: length > 1), 2,
            new() { ["num_heads"] = heads }, AttentionOp.Domain);

    private static Value[] SelfCalibratedGrad(
        Inputs inputs, long batch, long windows, long length, long supportBatch, long supportWindows, long supportLength, int heads,
        long width)
    {
        var arguments = SelfCalibratedInputs(
            inputs, batch, windows, length, supportBatch, supportWindows, supportLength, heads * width, withZeros: false);
        var forward = inputs.Builder.Ops(
            nameof(SelfCalibratedCrossAttention), arguments, 2, new() { ["num_heads"] = heads }, AttentionOp.Domain);
        return inputs.Builder.Ops(
            nameof(SelfCalibratedCrossAttentionGrad), [inputs.Next(batch, windows, length, heads * width), .. arguments, .. forward], 2,
            new() { ["num_heads"] = heads }, AttentionOp.Domain);
    }

    // Some windows of the support are attended to by several windows, some by none. With zeros the first position of all is zero.
    private static Value[] SelfCalibratedInputs(
        Inputs inputs, long batch, long windows, long length, long supportBatch, long supportWindows, long supportLength, long channels,
        bool withZeros)
    {
        var index = Enumerable.Range(0, (int)(batch * windows)).Select(i => i * i % supportWindows / 2 * 2 % supportWindows).ToArray();
        return
        [
            Rows(inputs.Next(batch, windows, length, 3 * channels)),
            Rows(inputs.Next(supportBatch, supportWindows, supportLength, 2 * channels)),
            inputs.Builder.Constant(Tensor.Create<long>(index, batch, windows)),
        ];

        Value Rows(Value rows) => withZeros ? rows.Slice(2, 1, long.MaxValue).Pad(0, 0, 1, 0, 0, 0, 0, 0) : rows;
    }

    private static Value[] BatchNorm(Inputs inputs, params long[] dims) =>
        inputs.Builder.Ops(
            nameof(BatchNormalizationTraining),
            [inputs.Next(dims), .. Enumerable.Range(0, 4).Select(_ => inputs.NextSingle(dims[1]))],
            3, new() { ["epsilon"] = 1e-5f, ["momentum"] = 0.1f }, AttentionOp.Domain);

    private static Value GroupNormalized(Inputs inputs, long batch, long channels, long height, long width, int groups, bool silu) =>
        GroupNorm.Apply(
            inputs.Next(batch, channels, height, width), inputs.NextSingle(channels), inputs.NextSingle(channels), groups, 1e-5f, silu);

    private static Value[] GroupNormGradient(Inputs inputs, long batch, long channels, long height, long width, int groups, bool silu) =>
        inputs.Builder.Ops(
            nameof(GroupNormGrad),
            [
                inputs.Next(batch, channels, height, width), inputs.Next(batch, channels, height, width),
                inputs.NextSingle(channels), inputs.NextSingle(channels),
            ],
            3, new() { ["num_groups"] = groups, ["epsilon"] = 1e-5f, ["silu"] = silu ? 1 : 0 }, AttentionOp.Domain);

    private static Value Dynamic(Inputs inputs, long batch, long channels, long height, long width, long tokens) =>
        GlobalDynamicConvolution.Apply(
            inputs.Next(batch, channels, height, width), inputs.Next(batch, channels, height, width),
            inputs.Next(batch, tokens, channels), inputs.Next(channels, tokens), inputs.Next(1), inputs.Next(channels));

    private static Value Depthwise(
        Inputs inputs, long batch, long channels, long height, long width, long[] kernel, long[] strides, long[] dilations, long[] pads,
        bool bias) =>
        DepthwiseConv.Apply(
            inputs.Next(batch, channels, height, width),
            inputs.Next(channels, 1, kernel[0], kernel[1]),
            bias ? inputs.Next(channels) : null,
            new() { ["kernel_shape"] = kernel, ["strides"] = strides, ["dilations"] = dilations, ["pads"] = pads, ["group"] = channels });

    private static Value Cosine(Inputs inputs, long batch, long length, int heads, long width) => CosineSelfAttention.Apply(
        inputs.Next(batch, length, 3 * heads * width), inputs.NextSingle(heads), inputs.Next(heads, length, length), heads);

    // The first third of a window's positions belongs together, and the rest, in every second window only.
    private static Value CosineWindow(Inputs inputs, long batch, long length, int heads, long width, long windows)
    {
        var packed = inputs.Next(batch, length, 3 * heads * width);
        var marks = Enumerable.Range(0, (int)(windows * length * 2))
            .Select(i => i % 2 == (i / 2 / length % 2 == 0 && i / 2 % length >= length / 3 ? 1 : 0) ? 1f : 0f).ToArray();
        return CosineWindowAttention.Apply(
            packed, inputs.NextSingle(heads), inputs.Next(heads, length, length),
            inputs.Builder.Op("CastLike", [inputs.Builder.Constant(Tensor.Create<float>(marks, windows, length, 2)), packed]), heads);
    }

    private static Value ChannelsLast(
        Inputs inputs, long batch, long height, long width, long channels, long outputs, long[] kernel, long[] strides, long[] dilations,
        long[] pads, bool hasResidual, bool isRectified)
    {
        var x = inputs.Next(batch, height, width, channels);
        return inputs.Builder.Op(
            nameof(ChannelsLastConv),
            [
                x, inputs.Next(outputs, kernel[0], kernel[1], channels), inputs.Next(outputs),
                hasResidual ? inputs.Next(batch, height, width, outputs) : inputs.Builder.Scalar(0, x),
            ],
            new()
            {
                ["kernel_shape"] = kernel, ["strides"] = strides, ["dilations"] = dilations, ["pads"] = pads,
                ["is_rectified"] = isRectified ? 1 : 0,
            },
            AttentionOp.Domain);
    }

    private static Value ChannelsLastDepthwise(
        Inputs inputs, long batch, long height, long width, long channels, long[] kernel, long[] strides, long[] pads) =>
        inputs.Builder.Op(
            nameof(ChannelsLastDepthwiseConv),
            [inputs.Next(batch, height, width, channels), inputs.Next(kernel[0], kernel[1], channels), inputs.Next(channels)],
            new()
            {
                ["kernel_shape"] = kernel, ["strides"] = strides, ["dilations"] = new[] { 1, 1 }, ["pads"] = pads, ["group"] = channels,
            },
            AttentionOp.Domain);

    private static Value ChannelsLastPool(
        Inputs inputs, long batch, long height, long width, long channels, long[] kernel, long[] strides, long[] pads) =>
        inputs.Builder.Op(
            nameof(ChannelsLastMaxPool), [inputs.Next(batch, height, width, channels)],
            new() { ["kernel_shape"] = kernel, ["strides"] = strides, ["dilations"] = new[] { 1, 1 }, ["pads"] = pads },
            AttentionOp.Domain);

    private static Value WeightGrad(
        Inputs inputs, long batch, long channels, long outputs, long height, long width, long[] kernel, long[] strides, long[] dilations,
        long[] pads, long group)
    {
        var outputHeight = ((height + pads[0] + pads[2] - (dilations[0] * (kernel[0] - 1)) - 1) / strides[0]) + 1;
        var outputWidth = ((width + pads[1] + pads[3] - (dilations[1] * (kernel[1] - 1)) - 1) / strides[1]) + 1;
        return inputs.Builder.Op(
            nameof(GroupedConvWeightGrad),
            [inputs.Next(batch, outputs, outputHeight, outputWidth), inputs.Next(batch, channels, height, width)],
            new() { ["kernel_shape"] = kernel, ["strides"] = strides, ["dilations"] = dilations, ["pads"] = pads, ["group"] = group },
            AttentionOp.Domain);
    }

    private static Value LocalAttention(
        Inputs inputs, long n, long c, long h, long w, long channelsPerGroup, long kernel, int normGroups) =>
        EfficientLocalAttention.Apply(
            inputs.Next(n, c, h, w), inputs.Next(c, channelsPerGroup, kernel), inputs.Next(c), inputs.Next(c), normGroups);

    private static Value[] LocalAttentionGrad(
        Inputs inputs, long n, long c, long h, long w, long channelsPerGroup, long kernel, int normGroups) =>
        inputs.Builder.Ops(
            nameof(EfficientLocalAttentionGrad),
            [inputs.Next(n, c, h, w), inputs.Next(n, c, h, w), inputs.Next(c, channelsPerGroup, kernel), inputs.Next(c), inputs.Next(c)],
            4, new() { ["group"] = c / channelsPerGroup, ["num_groups"] = normGroups, ["epsilon"] = 1e-3f }, AttentionOp.Domain);

    private static Value[] Routed(Inputs inputs, long n, long h, long w, long keyWidth, long valueWidth, int heads, int windows,
        int topK) =>
        Routed(inputs.Builder, inputs.Next(n, h, w, keyWidth), inputs.Next(n, h, w, keyWidth), inputs.Next(n, h, w, valueWidth),
            RoutedAttributes(heads, windows, topK));

    private static Value[] Routed(GraphBuilder builder, Value query, Value key, Value value, Attributes attributes) =>
        builder.Ops(nameof(BiLevelRoutingAttention), [query, key, value], 3, attributes, AttentionOp.Domain);

    private static Value[] RoutedGrad(Inputs inputs, long n, long h, long w, long keyWidth, long valueWidth, int heads, int windows,
        int topK)
    {
        var (query, key, value) = (inputs.Next(n, h, w, keyWidth), inputs.Next(n, h, w, keyWidth), inputs.Next(n, h, w, valueWidth));
        var forward = Routed(inputs.Builder, query, key, value, RoutedAttributes(heads, windows, topK));
        return inputs.Builder.Ops(
            nameof(BiLevelRoutingAttentionGrad),
            [inputs.Next(n, h, w, valueWidth), query, key, value, forward[0], forward[1], forward[2]],
            3, RoutedAttributes(heads, windows, topK), AttentionOp.Domain);
    }

    private static Attributes RoutedAttributes(int heads, int windows, int topK) => new()
    {
        ["num_heads"] = heads, ["window_count"] = windows, ["top_k"] = topK, ["scale"] = 0.7f,
    };

    private sealed record AttentionSizes(long Batch, long Queries, long Keys, int Heads, long QueryWidth, long ValueWidth)
    {
        public Value[] Inputs(Inputs inputs) =>
        [
            inputs.Next(Batch, Queries, Heads * QueryWidth), inputs.Next(Batch, Keys, Heads * QueryWidth),
            inputs.Next(Batch, Keys, Heads * ValueWidth),
        ];
    }

    private sealed record StorySizes(long Groups, long Images, long Tokens, long BankTokens, int Heads, long Width)
    {
        public Value[] Inputs(Inputs inputs) =>
        [
            .. Enumerable.Range(0, 3).Select(_ => inputs.Next(Groups * Images, Tokens, Heads * Width)),
            .. Enumerable.Range(0, 2).Select(_ => inputs.Next(Groups, BankTokens, Heads * Width)),
        ];

        public Attributes Attributes(float scale) => new()
        {
            ["head_count"] = Heads, ["scale"] = scale, ["group_count"] = Groups, ["layer"] = 1,
        };
    }

    /// <summary>A graph under construction whose inputs get random values.</summary>
    /// <param name="type">The element type of inputs that may be of either.</param>
    private sealed class Inputs(TensorElementType type)
    {
        public GraphBuilder Builder { get; } = new();

        public Dictionary<string, Tensor> Tensors { get; } = [];

        public Value Next(params long[] dims) => Next(type, dims);

        /// <summary>An input of float32 in any case.</summary>
        public Value NextSingle(params long[] dims) => Next(TensorElementType.Float, dims);

        private Value Next(TensorElementType inputType, long[] dims)
        {
            var name = $"input{Tensors.Count}";
            var tensor = RandomTensor.Float(Tensors.Count + 1, dims);
            Tensors[name] = inputType == TensorElementType.Float
                ? tensor
                : Tensor.Create<Half>(Array.ConvertAll(tensor.AsSpan<float>().ToArray(), x => (Half)x), dims);
            return Builder.Input(name, inputType, Shape.Of(dims));
        }
    }
}
