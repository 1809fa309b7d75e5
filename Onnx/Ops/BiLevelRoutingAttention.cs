using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Bi-level routing attention: the map is cut into regions, each region attends to the <c>top_k</c> regions whose mean key is most
/// similar to its mean query, and only to those.
/// <para>Source: Zhu et al., "BiFormer: Vision Transformer with Bi-Level Routing Attention", CVPR 2023 (arXiv 2303.08810),
/// repository rayleizhu/BiFormer.</para>
/// <list type="bullet">
/// <item>Inputs: <c>query</c> [N, H, W, Cq], <c>key</c> [N, H, W, Cq], <c>value</c> [N, H, W, C].</item>
/// <item>Outputs: <c>output</c> [N, H, W, C]; optional <c>routing</c> [N, R, top_k] int64, the regions that each region attends to,
/// most similar first, ties to the lower index; optional <c>logsumexp</c> [N, num_heads, H, W] float.</item>
/// <item>Attributes: <c>num_heads</c>; <c>window_count</c>, the number of regions along each side; <c>top_k</c>;
/// <c>scale</c>, which multiplies the scores.</item>
/// </list>
/// Regions are floor(H / window_count) x floor(W / window_count) positions, at least one. On sizes that do not divide there can be more
/// than <c>window_count</c> a side, and the last ones reach beyond the map: positions there have zero keys and values, are attended to
/// like others, and do not count in the means. Routing is computed in float32 and has no gradient.
/// </summary>
public sealed class BiLevelRoutingAttention : AttentionOp
{
    internal static readonly string[] AttributeNames = ["num_heads", "window_count", "top_k", "scale"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="query">[N, H, W, Cq]</param>
    /// <param name="key">[N, H, W, Cq]</param>
    /// <param name="value">[N, H, W, C]</param>
    /// <param name="headCount">The number of heads; divides Cq and C.</param>
    /// <param name="windowCount">The number of regions along each side of the map.</param>
    /// <param name="topK">The number of regions that each region attends to.</param>
    /// <param name="scale">What the scores are multiplied by; Cq^-1/2 if null (the full width, as published, not that of one head).</param>
    /// <returns>[N, H, W, C]</returns>
    public static Value Apply(Value query, Value key, Value value, int headCount, int windowCount, int topK, float? scale = null) =>
        query.Builder.Op(nameof(BiLevelRoutingAttention), [query, key, value], new()
        {
            ["num_heads"] = headCount,
            ["window_count"] = windowCount,
            ["top_k"] = topK,
            ["scale"] = scale ?? 1 / MathF.Sqrt(query.Shape[-1].Value),
        }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["query", "key", "value"], ["output", "routing", "logsumexp"], AttributeNames, (builder, inputs) =>
        {
            var grid = new RegionGrid(builder, inputs[0]);
            var (query, key, value) = (grid.Regions(inputs[0]), grid.Regions(inputs[1]), grid.Regions(inputs[2]));

            var logits = grid.Mean(query).MatMul(grid.Mean(key).Transpose(0, 2, 1));
            var (_, routing) = logits.TopK(builder.Attribute("top_k", typeof(long)).Reshape(1));

            var scores = grid.Scores(query, key, routing);
            var attended = scores.Softmax().MatMul(grid.Heads(grid.Gather(value, routing)));
            var logSumExp = scores.Reduce("ReduceLogSumExp", [-1], keepDims: false).Cast(TensorElementType.Float);
            return [grid.Map(attended.Transpose(0, 1, 3, 2, 4)), routing, grid.MapOfHeads(logSumExp)];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => node.Builder.Ops(
        nameof(BiLevelRoutingAttentionGrad),
        [node.Grad, node.Input(0), node.Input(1), node.Input(2), node.Output(0), node.Output(1), node.Output(2)],
        3, node.Attributes.Clone(), Domain);

    internal override IEnumerable<Kernel> Kernels => BiLevelRoutingKernels.OfAttention;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var (query, value) = (inputs[0].Shape, inputs[2].Shape);
        var windowCount = node.Attributes.Int("window_count");
        var topK = node.Attributes.Int("top_k");
        Shape? routing = null, logSumExp = null;
        if (query is not null)
        {
            var regions = Regions(query[1]) is { IsKnown: true } rows && Regions(query[2]) is { IsKnown: true } columns
                ? rows.Value * columns.Value : Dim.Unknown;
            if (regions.IsKnown && topK > regions.Value)
            {
                throw new InvalidOperationException(
                    $"{Name}: top_k is {topK}, but a map of {query[1]} x {query[2]} has {regions} regions.");
            }
            routing = [query[0], regions, topK];
            logSumExp = [query[0], node.Attributes.Int("num_heads"), query[1], query[2]];
        }
        return [new(inputs[2].Type, value), new(TensorElementType.Int64, routing), new(TensorElementType.Float, logSumExp)];

        Dim Regions(Dim size)
        {
            if (!size.IsKnown)
                return Dim.Unknown;
            var region = Math.Max(1, size.Value / windowCount);
            return (size.Value + region - 1) / region;
        }
    }
}
