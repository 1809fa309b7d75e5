using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Consistent self-attention: the tokens of an image attend to those of their own image and, as the mode says, to tokens of the other
/// images of the batch and of a bank, so that the pictures of a story look alike.
/// <para>Source: Zhou et al., "StoryDiffusion: Consistent Self-Attention for Long-Range Image and Video Generation", NeurIPS 2024
/// (arXiv 2405.01434), repository HVision-NKU/StoryDiffusion.</para>
/// A batch has G groups of n images, group after group, that never see each other: with classifier-free guidance the images without the
/// prompt and those with it. The keys of a group are the M tokens of its bank, then the N tokens of each of its images.
/// <list type="bullet">
/// <item>Inputs: <c>query</c>, <c>key</c>, <c>value</c> [G * n, N, C], channels of a head next to each other; <c>bank_key</c>,
/// <c>bank_value</c> [G, M, C], M may be 0; <c>key_mask</c> bool [n, M + n * N], the keys that each image may attend to in mode 2;
/// <c>mode</c> int32 [layers], for each layer 0: the image's own tokens, 1: all keys, 2: those of the mask. Own tokens are attended to
/// in every mode.</item>
/// <item>Outputs: <c>output</c> [G * n, N, C]; optional <c>logsumexp</c> [G, head_count, n * N] float, of the scores.</item>
/// <item>Attributes: <c>head_count</c>; <c>scale</c>, positive, which multiplies the products of queries and keys, or 0 for
/// the usual (C / head_count)^-1/2; <c>group_count</c> G; <c>layer</c>, the element of the mode that counts here.</item>
/// </list>
/// The kernels read the mode on the host and never meet a key that is not allowed: mode 0 costs what plain attention costs.
/// </summary>
public sealed class ConsistentSelfAttention : AttentionOp
{
    internal static readonly string[] AttributeNames = ["head_count", "scale", "group_count", "layer"];

    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="query">[G * n, N, C]</param>
    /// <param name="key">[G * n, N, C]</param>
    /// <param name="value">[G * n, N, C]</param>
    /// <param name="bankKey">[G, M, C]</param>
    /// <param name="bankValue">[G, M, C]</param>
    /// <param name="keyMask">The keys that each image may attend to, bool [n, M + n * N].</param>
    /// <param name="mode">What the tokens of each layer attend to, int32 [layers].</param>
    /// <param name="headCount">The number of heads; divides C.</param>
    /// <param name="groupCount">The number G of groups in the batch.</param>
    /// <param name="layer">The element of <paramref name="mode"/> that counts here.</param>
    /// <param name="scale">What the products are multiplied by; (C / heads)^-1/2 if null.</param>
    /// <returns>[G * n, N, C]</returns>
    public static Value Apply(
        Value query, Value key, Value value, Value bankKey, Value bankValue, Value keyMask, Value mode, int headCount, int groupCount,
        int layer, float? scale = null) =>
        query.Builder.Op(nameof(ConsistentSelfAttention), [query, key, value, bankKey, bankValue, keyMask, mode], new()
        {
            ["head_count"] = headCount,
            ["scale"] = scale ?? 0f,
            ["group_count"] = groupCount,
            ["layer"] = layer,
        }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["query", "key", "value", "bank_key", "bank_value", "key_mask", "mode"], ["output", "logsumexp"], AttributeNames,
        (builder, inputs) =>
        {
            var story = new StoryAttention(builder, inputs);
            var outputs = builder.Ops(
                nameof(MultiHeadAttention), [story.Query, story.Key, story.Value, story.Bias], 2, StoryAttention.HeadAttributes, Domain);
            return [outputs[0].Reshape(inputs[0].ShapeOf()), outputs[1]];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) =>
    [
        .. node.Builder.Ops(
            nameof(ConsistentSelfAttentionGrad),
            [node.Grad, .. Enumerable.Range(0, 7).Select(node.Input), node.Output(0), node.Output(1)], 5, node.Attributes.Clone(), Domain),
        null, null,
    ];

    internal override IEnumerable<Kernel> Kernels => ConsistentSelfAttentionKernels.OfAttention;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        if (inputs[0].Shape is not { } shape)
            return [new(inputs[0].Type, null), new(TensorElementType.Float, null)];
        var (heads, groups) = (node.Attributes.Int("head_count"), node.Attributes.Int("group_count"));
        if (shape.Rank != 3 || (shape[2].IsKnown && shape[2].Value % heads != 0) || (shape[0].IsKnown && shape[0].Value % groups != 0))
        {
            throw new InvalidOperationException(
                $"{Name}: query has the shape {shape}, expected [G * n, N, C] with {groups} groups and {heads} heads that divide C.");
        }
        var tokens = shape[0].IsKnown && shape[1].IsKnown ? shape[0].Value / groups * shape[1].Value : Dim.Unknown;
        return [new(inputs[0].Type, shape), new(TensorElementType.Float, [groups, heads, tokens])];
    }
}

/// <summary>What the tokens of a layer attend to: the values of the operator's <c>mode</c>.</summary>
internal enum ConsistentAttentionMode
{
    /// <summary>The tokens of their own image.</summary>
    Plain = 0,

    /// <summary>All tokens of the bank and of their group's images.</summary>
    All = 1,

    /// <summary>The tokens that the mask allows, and those of their own image.</summary>
    Masked = 2,
}

/// <summary>
/// Consistent self-attention inside a function body: the images of a group as one sequence, which attends to the bank and itself with a
/// bias of minus infinity where a key is not allowed.
/// </summary>
internal sealed class StoryAttention
{
    /// <summary>Those of the multi-head attention in the body; the scale is in the query.</summary>
    public static Attributes HeadAttributes => new()
    {
        ["num_heads"] = new AttributeReference("head_count", typeof(long)),
        ["scale"] = 1f,
    };

    private readonly GraphBuilder _builder;
    private readonly Value _sequence;

    /// <param name="builder">The function's.</param>
    /// <param name="inputs">The seven inputs of <see cref="ConsistentSelfAttention"/>.</param>
    public StoryAttention(GraphBuilder builder, ReadOnlySpan<Value> inputs)
    {
        _builder = builder;
        _sequence = builder.Concat(0, builder.Attribute("group_count", typeof(long)).Reshape(1), builder.Int64(-1, 0));
        Scale = ScaleOf(inputs[0]);
        Query = Sequence(inputs[0]) * Scale;
        Key = builder.Concat(1, inputs[3], Sequence(inputs[1]));
        Value = builder.Concat(1, inputs[4], Sequence(inputs[2]));
        var bias = Allowed(inputs[0], inputs[3], inputs[5], inputs[6])
            .Where(builder.Scalar(0, inputs[0]), builder.Scalar(double.NegativeInfinity, inputs[0])).Unsqueeze(1);
        var (images, tokens, keys) = (inputs[5].ShapeOf(0, 1), inputs[0].ShapeOf(1, 2), inputs[5].ShapeOf(1, 2));
        Bias = bias.Expand(builder.Concat(0, images, tokens, keys)).Reshape(builder.Concat(0, builder.Int64(-1), keys));
    }

    /// <summary>A scalar.</summary>
    public Value Scale { get; }

    /// <summary>Times the scale, [G, n * N, C].</summary>
    public Value Query { get; }

    /// <summary>[G, M + n * N, C]</summary>
    public Value Key { get; }

    /// <summary>[G, M + n * N, C]</summary>
    public Value Value { get; }

    /// <summary>[n * N, M + n * N]</summary>
    public Value Bias { get; }

    /// <summary>[G * n, N, C] to [G, n * N, C].</summary>
    public Value Sequence(Value images) => images.Reshape(_sequence);

    private Value ScaleOf(Value query)
    {
        var given = _builder.Attribute("scale", typeof(float));
        var width = query.ShapeOf(2, 3).Squeeze(0) / _builder.Attribute("head_count", typeof(long));
        var usual = 1 / width.Cast(TensorElementType.Float).Apply("Sqrt");
        var isGiven = _builder.Op("Greater", [given, _builder.Constant(Tensor.Scalar(0f))]);
        return _builder.Op("CastLike", [isGiven.Where(given, usual), query]);
    }

    // [n, M + n * N]
    private Value Allowed(Value query, Value bankKey, Value keyMask, Value mode)
    {
        var tokens = query.ShapeOf(1, 2);
        var position = Range(keyMask.ShapeOf(1, 2)) - bankKey.ShapeOf(1, 2);
        var first = Range(keyMask.ShapeOf(0, 1)).Unsqueeze(1) * tokens;
        var isOwn = And(_builder.Op("GreaterOrEqual", [position, first]), _builder.Op("Less", [position, first + tokens]));
        mode = mode.Gather(_builder.Attribute("layer", typeof(long)));
        var isAny = Is(mode, ConsistentAttentionMode.All);
        return Or(isOwn, Or(isAny, And(Is(mode, ConsistentAttentionMode.Masked), keyMask)));
    }

    private Value Range(Value count) => _builder.Op(
        "Range", [_builder.Constant(Tensor.Scalar(0L)), count.Squeeze(0), _builder.Constant(Tensor.Scalar(1L))]);

    private Value Is(Value mode, ConsistentAttentionMode value) =>
        _builder.Op("Equal", [mode, _builder.Constant(Tensor.Scalar((int)value))]);

    private Value And(Value left, Value right) => _builder.Op("And", [left, right]);

    private Value Or(Value left, Value right) => _builder.Op("Or", [left, right]);
}
