using Microsoft.ML.Attention.Onnx.Kernels;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="ConsistentSelfAttention"/>. Where it has no kernel, its body comes down to
/// <see cref="MultiHeadAttentionGrad"/>, whose kernels keep no scores in memory, with a bias that the heads share.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [G * n, N, C], then the operator's seven inputs and its outputs <c>output</c>,
/// <c>logsumexp</c>.</item>
/// <item>Outputs: <c>query_grad</c>, <c>key_grad</c>, <c>value_grad</c> [G * n, N, C], <c>bank_key_grad</c>, <c>bank_value_grad</c>
/// [G, M, C].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class ConsistentSelfAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["output_grad", "query", "key", "value", "bank_key", "bank_value", "key_mask", "mode", "output", "logsumexp"],
        ["query_grad", "key_grad", "value_grad", "bank_key_grad", "bank_value_grad"],
        ConsistentSelfAttention.AttributeNames,
        (builder, inputs) =>
        {
            var story = new StoryAttention(builder, inputs.AsSpan(1, 7));
            var grads = builder.Ops(
                nameof(MultiHeadAttentionGrad),
                [
                    story.Sequence(inputs[0]), story.Query, story.Key, story.Value, story.Bias, story.Sequence(inputs[8]), inputs[9],
                ],
                3, StoryAttention.HeadAttributes, Domain);
            var bank = inputs[4].ShapeOf(1, 2);
            return
            [
                (grads[0] * story.Scale).Reshape(inputs[1].ShapeOf()), OfImages(grads[1]), OfImages(grads[2]), OfBank(grads[1]),
                OfBank(grads[2]),
            ];

            Value OfImages(Value keys) =>
                builder.Op("Slice", [keys, bank, builder.Int64(long.MaxValue), builder.Int64(1)]).Reshape(inputs[1].ShapeOf());

            Value OfBank(Value keys) => builder.Op("Slice", [keys, builder.Int64(0), bank, builder.Int64(1)]);
        });

    internal override IEnumerable<Kernel> Kernels => ConsistentSelfAttentionKernels.OfGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]];
}
