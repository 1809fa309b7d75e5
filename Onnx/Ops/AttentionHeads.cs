using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Multi-head attention in standard operators, for the function bodies of the operators and their gradients. L is the number of queries,
/// S that of keys, h the number of heads, d and e the widths of one in queries and values.
/// </summary>
internal sealed class AttentionHeads(GraphBuilder builder)
{
    private readonly Value _heads = builder.Attribute("num_heads", typeof(long)).Reshape(1);
    private readonly Value _scale = builder.Attribute("scale", typeof(float));

    /// <summary>[N, L, h d] to [N, h, L, d].</summary>
    public Value Split(Value rows) =>
        rows.Reshape(builder.Concat(0, builder.Int64(0, 0), _heads, builder.Int64(-1))).Transpose(0, 2, 1, 3);

    /// <summary>[N, h, L, d] to [N, L, h d].</summary>
    public static Value Merge(Value heads) => heads.Transpose(0, 2, 1, 3).Reshape(0, 0, -1);

    /// <summary>The output [N, L, h e] and the logarithms of the sums of the exponentials of the scores [N, h, L].</summary>
    public Value[] Attend(Value query, Value key, Value value, Value bias)
    {
        var scores = Scores(Split(query), Split(key), bias);
        return
        [
            Merge(scores.Softmax().MatMul(Split(value))),
            scores.Reduce("ReduceLogSumExp", [-1], keepDims: false).Cast(TensorElementType.Float),
        ];
    }

    /// <summary>The gradients of query, key, value and bias.</summary>
    public Value[] Gradients(Value outputGrad, Value query, Value key, Value value, Value bias, Value output)
    {
        (query, key, value, outputGrad, output) = (Split(query), Split(key), Split(value), Split(outputGrad), Split(output));
        var attention = Scores(query, key, bias).Softmax();
        var attentionGrad = outputGrad.MatMul(value.Transpose(0, 1, 3, 2));
        var scoresGrad = attention * (attentionGrad - (outputGrad * output).ReduceSum([-1], keepDims: true));
        var productsGrad = Scaled(scoresGrad);
        return
        [
            Merge(productsGrad.MatMul(key)),
            Merge(productsGrad.Transpose(0, 1, 3, 2).MatMul(query)),
            Merge(attention.Transpose(0, 1, 3, 2).MatMul(outputGrad)),
            SumToBias(scoresGrad, bias),
        ];
    }

    // [N, h, L, S]
    private Value Scores(Value query, Value key, Value bias) => Scaled(query).MatMul(key.Transpose(0, 1, 3, 2)) + bias;

    private Value Scaled(Value value) => value * builder.Op("CastLike", [_scale, value]);

    // Sums over the axes that the bias lacks or has 1 of.
    private Value SumToBias(Value scoresGrad, Value bias)
    {
        var sizes = builder.Concat(0, builder.Int64(1, 1, 1, 1), bias.ShapeOf()).Slice(0, -4, int.MaxValue);
        var axes = builder.Op("NonZero", [builder.Op("Equal", [sizes, builder.Int64(1)])]).Reshape(-1);
        return builder.Op("ReduceSum", [scoresGrad, axes], new() { ["keepdims"] = 1, ["noop_with_empty_axes"] = 1 })
            .Reshape(bias.ShapeOf());
    }
}
