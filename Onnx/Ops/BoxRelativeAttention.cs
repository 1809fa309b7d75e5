using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Attention of queries to all positions of a map, with a bias that is the sum of one for the position's column and one for its row. In
/// Plain-DETR these depend on the query's box (box-to-pixel relative position bias). The biases of all positions are never in memory.
/// <para>Source: Lin et al., "DETR Does Not Need Multi-Scale or Locality Design", ICCV 2023 (arXiv 2308.01904), repository
/// impiga/Plain-DETR.</para>
/// <list type="bullet">
/// <item>Inputs: <c>query</c> [N, Q, C]; <c>key</c> and <c>value</c> [N, H W, C], row by row; <c>column_bias</c> [N, Q, W, num_heads]
/// float; <c>row_bias</c> [N, Q, H, num_heads] float; <c>extent</c> [N, 2] int64, the rows and columns of each map that are not
/// padding: 100 is taken off the scores of positions beyond them.</item>
/// <item>Outputs: <c>output</c> [N, Q, C]; optional <c>logsumexp</c> [N, num_heads, Q] float.</item>
/// <item>Attributes: <c>num_heads</c>, which divides C. The scores are the products of queries and keys times (C / num_heads)^-1/2.</item>
/// </list>
/// </summary>
public sealed class BoxRelativeAttention : AttentionOp
{
    internal const double PaddingPenalty = 100;

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="query">[N, Q, C]</param>
    /// <param name="key">[N, H W, C]</param>
    /// <param name="value">[N, H W, C]</param>
    /// <param name="columnBias">[N, Q, W, heads]</param>
    /// <param name="rowBias">[N, Q, H, heads]</param>
    /// <param name="extent">[N, 2] int64: rows and columns that are not padding.</param>
    /// <param name="headCount">The number of heads; divides C.</param>
    /// <returns>[N, Q, C]</returns>
    public static Value Apply(Value query, Value key, Value value, Value columnBias, Value rowBias, Value extent, int headCount) =>
        query.Builder.Op(
            nameof(BoxRelativeAttention), [query, key, value, columnBias, rowBias, extent], new() { ["num_heads"] = headCount }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["query", "key", "value", "column_bias", "row_bias", "extent"], ["output", "logsumexp"], ["num_heads"],
        (builder, inputs) =>
        {
            var heads = new BoxRelativeHeads(builder);
            var scores = heads.Scores(inputs[0], inputs[1], inputs[3], inputs[4], inputs[5]);
            var attention = builder.Op("CastLike", [scores.Softmax(), inputs[2]]);
            return [heads.Merge(attention.MatMul(heads.Split(inputs[2]))), scores.Reduce("ReduceLogSumExp", [-1], keepDims: false)];
        });

    internal override bool KeepsSingle(int input) => input is 3 or 4;

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
    [
        .. node.Builder.Ops(
            nameof(BoxRelativeAttentionGrad),
            [node.Grad, .. Enumerable.Range(0, 6).Select(node.Input), node.Output(0), node.Output(1)],
            5, node.Attributes.Clone(), Domain),
        null,
    ];

    internal override IEnumerable<Kernel> Kernels => MultiHeadAttentionKernels.OfBoxRelative;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var (query, columns, rows) = (inputs[0].Shape, inputs[3].Shape, inputs[4].Shape);
        if (query is not null && query[2].IsKnown && query[2].Value % node.Attributes.Int("num_heads") != 0)
        {
            throw new InvalidOperationException(
                $"{Name}: num_heads is {node.Attributes.Int("num_heads")}, which does not divide the {query[2]} channels.");
        }
        if (inputs[1].Shape is { } key && columns is not null && rows is not null && key[1].IsKnown && columns[2].IsKnown
            && rows[2].IsKnown && columns[2].Value * rows[2].Value != key[1].Value)
        {
            throw new InvalidOperationException(
                $"{Name}: biases of {columns[2]} columns and {rows[2]} rows do not fit a map of {key[1]} positions.");
        }
        return
        [
            inputs[0],
            new(TensorElementType.Float, query is null ? null : [query[0], node.Attributes.Int("num_heads"), query[1]]),
        ];
    }
}

/// <summary>The parts of the definitions of box-relative attention and its gradient, inside a function body.</summary>
internal sealed class BoxRelativeHeads(GraphBuilder builder)
{
    private readonly Value _split = builder.Concat(
        0, builder.Int64(0, 0), builder.Attribute("num_heads", typeof(long)).Reshape(1), builder.Int64(-1));

    /// <summary>[N, T, C] to [N, heads, T, C / heads].</summary>
    public Value Split(Value value) => value.Reshape(_split).Transpose(0, 2, 1, 3);

    /// <summary>[N, heads, T, C / heads] to [N, T, C].</summary>
    public Value Merge(Value heads) => heads.Transpose(0, 2, 1, 3).Reshape(0, 0, -1);

    /// <summary>Products of queries and keys, scaled: the scale has gone into the queries.</summary>
    public Value Scaled(Value query)
    {
        var heads = Split(query);
        return heads / builder.Op("CastLike", [heads.ShapeOf(3, 4).Cast(TensorElementType.Float).Apply("Sqrt"), heads]);
    }

    /// <summary>The scores in float32, [N, heads, Q, H W].</summary>
    public Value Scores(Value query, Value key, Value columnBias, Value rowBias, Value extent)
    {
        // [N, Q, H, W, heads] to [N, heads, Q, H W]
        var bias = (rowBias.Unsqueeze(3) + columnBias.Unsqueeze(2)).Transpose(0, 4, 1, 2, 3).Reshape(0, 0, 0, -1);
        var isOutside = builder.Op("Or", [Beyond(rowBias, 0).Unsqueeze(2), Beyond(columnBias, 1).Unsqueeze(1)]);
        var penalty = isOutside.Reshape(0, 1, 1, -1).Cast(TensorElementType.Float) * BoxRelativeAttention.PaddingPenalty;
        return Scaled(query).MatMul(Split(key).Transpose(0, 1, 3, 2)).Cast(TensorElementType.Float) + bias - penalty;

        // [N, positions of the axis]
        Value Beyond(Value axisBias, int axis)
        {
            var (zero, one) = (builder.Constant(Tensor.Scalar(0L)), builder.Constant(Tensor.Scalar(1L)));
            var positions = builder.Op("Range", [zero, axisBias.ShapeOf(2, 3).Squeeze(0), one]);
            return builder.Op("GreaterOrEqual", [positions.Unsqueeze(0), extent.Slice(1, axis, axis + 1)]);
        }
    }
}
