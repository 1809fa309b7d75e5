using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Attention of each window of a map to itself and to one window of another map, that of the support, which is chosen by an index and
/// never copied. Scores of a window's own keys are scaled products, those of the support's keys cosines; one softmax goes over both.
/// <para>Source: Xu et al., "Self-Calibrated Cross Attention Network for Few-Shot Segmentation", ICCV 2023 (arXiv 2308.09294), repository
/// Sam1224/SCCAN.</para>
/// <list type="bullet">
/// <item>Inputs: <c>packed</c> [N, W, L, 3 C]: of W windows of L positions each all queries, then all keys, then all values of a position;
/// <c>support</c> [M, U, S, 2 C]: of U windows of S positions all keys, then all values; <c>index</c> [N, W] int64, 0 to below U, the
/// support's window for each window. M divides N: element n of the batch attends to element n mod M of the support.</item>
/// <item>Outputs: <c>output</c> [N, W, L, C]; optional <c>logsumexp</c> [N, W, num_heads, L] float, of the scores.</item>
/// <item>Attributes: <c>num_heads</c>, which divides C. Products are scaled by (C / num_heads)^-1/2, cosines are not.</item>
/// </list>
/// </summary>
public sealed class SelfCalibratedCrossAttention : AttentionOp
{
    internal const double CosineEpsilon = 1e-7;

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="packed">[N, W, L, 3 C]: queries, keys, values.</param>
    /// <param name="support">[M, U, S, 2 C]: keys, values.</param>
    /// <param name="index">[N, W] int64.</param>
    /// <param name="headCount">The number of heads; divides C.</param>
    /// <returns>[N, W, L, C]</returns>
    public static Value Apply(Value packed, Value support, Value index, int headCount) => packed.Builder.Op(
        nameof(SelfCalibratedCrossAttention), [packed, support, index], new() { ["num_heads"] = headCount }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["packed", "support", "index"], ["output", "logsumexp"], ["num_heads"],
        (builder, inputs) =>
        {
            var windows = new SelfCalibratedWindows(builder, inputs[0], inputs[1], inputs[2]);
            var scores = windows.Scores;
            var output = windows.Merge(scores.Softmax().MatMul(windows.Values));
            return [builder.Op("CastLike", [output, inputs[0]]), scores.Reduce("ReduceLogSumExp", [-1], keepDims: false)];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
    [
        .. node.Builder.Ops(
            nameof(SelfCalibratedCrossAttentionGrad),
            [node.Grad, node.Input(0), node.Input(1), node.Input(2), node.Output(0), node.Output(1)], 2, node.Attributes.Clone(), Domain),
        null,
    ];

    internal override IEnumerable<Kernel> Kernels => SelfCalibratedKernels.OfAttention;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var heads = node.Attributes.Int("num_heads");
        if (inputs[0].Shape is not { } shape)
            return [new(inputs[0].Type, null), new(TensorElementType.Float, null)];
        if (shape.Rank != 4 || (shape[3].IsKnown && shape[3].Value % (3 * heads) != 0))
        {
            throw new InvalidOperationException(
                $"{Name}: packed has the shape {shape}, expected [N, W, L, 3 C] where the {heads} heads divide C.");
        }
        return
        [
            new(inputs[0].Type, shape.With(3, shape[3].IsKnown ? shape[3].Value / 3 : Dim.Unknown)),
            new(TensorElementType.Float, [shape[0], shape[1], heads, shape[2]]),
        ];
    }
}

/// <summary>
/// The parts of the definitions of self-calibrated cross attention and its gradient, inside a function body. All is in float32.
/// </summary>
internal sealed class SelfCalibratedWindows
{
    private readonly GraphBuilder _builder;
    private readonly Value _split;
    private readonly Value _flatIndex;

    public SelfCalibratedWindows(GraphBuilder builder, Value packed, Value support, Value index)
    {
        _builder = builder;
        _split = builder.Concat(
            0, builder.Int64(0, 0, 0), builder.Attribute("num_heads", typeof(long)).Reshape(1), builder.Int64(-1));
        var parts = Parts(packed.Cast(TensorElementType.Float), 3);
        _flatIndex = FlatIndex(support, index);
        var windows = support.Reshape(builder.Concat(0, builder.Int64(-1), support.ShapeOf(2)));
        var aligned = Parts(windows.Gather(_flatIndex).Cast(TensorElementType.Float), 2);
        (Query, Key, SupportKey) = (Split(parts[0]), Split(parts[1]), Split(aligned[0]));
        Values = builder.Concat(3, Split(parts[2]), Split(aligned[1]));
        Width = Query.ShapeOf(4, 5).Cast(TensorElementType.Float).Apply("Sqrt");
        (QueryNorm, SupportNorm) = (Norm(Query), Norm(SupportKey));
        Denominators = QueryNorm.MatMul(SupportNorm.Transpose(0, 1, 2, 4, 3)) + SelfCalibratedCrossAttention.CosineEpsilon;
        Cosines = Products(SupportKey) / Denominators;
    }

    /// <summary>[N, W, heads, L, d]</summary>
    public Value Query { get; }

    /// <summary>[N, W, heads, L, d]</summary>
    public Value Key { get; }

    /// <summary>Of the support's windows, [N, W, heads, S, d].</summary>
    public Value SupportKey { get; }

    /// <summary>Those of a window and its window of the support, [N, W, heads, L + S, d].</summary>
    public Value Values { get; }

    /// <summary>d^1/2</summary>
    public Value Width { get; }

    /// <summary>[N, W, heads, L, 1]</summary>
    public Value QueryNorm { get; }

    /// <summary>[N, W, heads, S, 1]</summary>
    public Value SupportNorm { get; }

    /// <summary>What the products with the support's keys are divided by, [N, W, heads, L, S].</summary>
    public Value Denominators { get; }

    /// <summary>The scores of the support's keys, [N, W, heads, L, S].</summary>
    public Value Cosines { get; }

    /// <summary>[N, W, heads, L, L + S]</summary>
    public Value Scores => _builder.Concat(4, Products(Key) / Width, Cosines);

    /// <summary>[N, W, L, C] to [N, W, heads, L, d].</summary>
    public Value Split(Value rows) => rows.Reshape(_split).Transpose(0, 1, 3, 2, 4);

    /// <summary>[N, W, heads, L, d] to [N, W, L, C].</summary>
    public Value Merge(Value heads) => heads.Transpose(0, 1, 3, 2, 4).Reshape(0, 0, 0, -1);

    /// <summary>The sums over the windows that attend to each window of the support: [N, W, S, 2 C] to [M, U, S, 2 C].</summary>
    public Value SumAligned(Value rows, Value support)
    {
        var (zero, one) = (_builder.Constant(Tensor.Scalar(0L)), _builder.Constant(Tensor.Scalar(1L)));
        var count = support.ShapeOf(0, 1) * support.ShapeOf(1, 2);
        var numbers = _builder.Op("Range", [zero, count.Squeeze(0), one]).Unsqueeze(1);
        var attends = _builder.Op("Equal", [numbers, _flatIndex.Reshape(1, -1)]).Cast(TensorElementType.Float);
        var flat = rows.Reshape(_builder.Concat(0, _flatIndex.Reshape(-1).ShapeOf(), _builder.Int64(-1)));
        return attends.MatMul(flat).Reshape(support.ShapeOf());
    }

    private Value Products(Value keys) => Query.MatMul(keys.Transpose(0, 1, 2, 4, 3));

    private static Value Norm(Value rows) => rows.Reduce("ReduceL2", [-1], keepDims: true);

    private static Value[] Parts(Value rows, int count) =>
        rows.Builder.Ops("Split", [rows], count, new() { ["axis"] = -1, ["num_outputs"] = count });

    // The number of each window's window of the support among those of all elements, [N, W].
    private Value FlatIndex(Value support, Value index)
    {
        var (zero, one) = (_builder.Constant(Tensor.Scalar(0L)), _builder.Constant(Tensor.Scalar(1L)));
        var elements = _builder.Op("Range", [zero, index.ShapeOf(0, 1).Squeeze(0), one]);
        var first = _builder.Op("Mod", [elements, support.ShapeOf(0, 1)]) * support.ShapeOf(1, 2);
        return index + first.Unsqueeze(1);
    }
}
