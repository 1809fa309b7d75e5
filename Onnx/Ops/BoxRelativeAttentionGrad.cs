using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="BoxRelativeAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, Q, C], then the operator's inputs <c>query</c>, <c>key</c>, <c>value</c>, <c>column_bias</c>,
/// <c>row_bias</c>, <c>extent</c> and its outputs <c>output</c>, <c>logsumexp</c>.</item>
/// <item>Outputs: <c>query_grad</c> [N, Q, C], <c>key_grad</c> and <c>value_grad</c> [N, H W, C], <c>column_bias_grad</c>
/// [N, Q, W, num_heads], <c>row_bias_grad</c> [N, Q, H, num_heads].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class BoxRelativeAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["output_grad", "query", "key", "value", "column_bias", "row_bias", "extent", "output", "logsumexp"],
        ["query_grad", "key_grad", "value_grad", "column_bias_grad", "row_bias_grad"],
        ["num_heads"],
        (builder, inputs) =>
        {
            var heads = new BoxRelativeHeads(builder);
            var (query, key, columnBias, rowBias) = (inputs[1], inputs[2], inputs[4], inputs[5]);
            var outputGrad = heads.Split(inputs[0]);

            var attention = heads.Scores(query, key, columnBias, rowBias, inputs[6]).Softmax();
            var attentionGrad = outputGrad.MatMul(heads.Split(inputs[3]).Transpose(0, 1, 3, 2)).Cast(TensorElementType.Float);
            var mean = (outputGrad * heads.Split(inputs[7])).ReduceSum([-1], keepDims: true).Cast(TensorElementType.Float);
            var scoresGrad = attention * (attentionGrad - mean);

            // The scale of the scores goes into the keys here, as it went into the queries there.
            var (weights, slopes) = (builder.Op("CastLike", [attention, key]), builder.Op("CastLike", [scoresGrad, key]));
            var queryGrad = slopes.MatMul(heads.Scaled(key));
            var keyGrad = slopes.Transpose(0, 1, 3, 2).MatMul(heads.Scaled(query));
            var valueGrad = weights.Transpose(0, 1, 3, 2).MatMul(outputGrad);
            var map = builder.Concat(0, builder.Int64(0, 0, 0), rowBias.ShapeOf(2, 3), columnBias.ShapeOf(2, 3));
            var biasGrad = scoresGrad.Reshape(map).Transpose(0, 2, 3, 4, 1);
            return
            [
                heads.Merge(queryGrad), heads.Merge(keyGrad), heads.Merge(valueGrad), biasGrad.ReduceSum([2]), biasGrad.ReduceSum([3]),
            ];
        });

    internal override bool KeepsSingle(int input) => input is 4 or 5 or 8;

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfBoxRelativeGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) =>
        [inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]];
}
