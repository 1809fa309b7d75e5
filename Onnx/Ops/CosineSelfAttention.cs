using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// <see cref="MultiHeadSelfAttention"/> with the cosines of queries and keys, times a scale for each head, as scores.
/// <para>Source: Liu et al., "Swin Transformer V2: Scaling Up Capacity and Resolution", CVPR 2022 (arXiv 2111.09883). To norms 5e-5 is
/// added, as in the repository impiga/Plain-DETR.</para>
/// <list type="bullet">
/// <item>Inputs: <c>packed</c> [N, L, 3 * num_heads * d]: all queries, then all keys, then all values of a position; <c>scale</c>
/// [num_heads] float; <c>bias</c>, which broadcasts to [N, num_heads, L, L].</item>
/// <item>Outputs: <c>output</c> [N, L, num_heads * d].</item>
/// <item>Attributes: <c>num_heads</c>.</item>
/// </list>
/// </summary>
public sealed class CosineSelfAttention : AttentionOp
{
    internal static Value Apply(Value packed, Value scale, Value bias, int headCount) => packed.Builder.Op(
        nameof(CosineSelfAttention), [packed, scale, bias], new() { ["num_heads"] = headCount }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["packed", "scale", "bias"], ["output"], ["num_heads"], (builder, inputs) =>
        {
            var heads = new CosineHeads(builder);
            var parts = MultiHeadSelfAttention.Parts(inputs[0]);
            return
            [
                heads.Attend(
                    CosineHeads.Merge(heads.Query(parts[0], inputs[1])), CosineHeads.Merge(heads.Normalized(parts[1])), parts[2], inputs[2]),
            ];
        });

    internal override bool KeepsSingle(int input) => input == 1;

    internal override IEnumerable<Kernel> Kernels
    {
        get
        {
            var signature = new KernelSignature(
                Name, ["packed", new("scale") { Type = TensorElementType.Float }, "bias"], ["output"]);
            return
            [
                signature.Cuda<float>(attributes => new CosineAttentionKernel<float>(attributes, hasMarks: false)),
                signature.Cuda<Half>(attributes => new CosineAttentionKernel<Half>(attributes, hasMarks: false)),
            ];
        }
    }

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => Outputs(inputs[0]);

    internal static ValueInfo[] Outputs(ValueInfo packed) =>
    [
        new(packed.Type, packed.Shape is { } shape ? [shape[0], shape[1], shape[2].IsKnown ? shape[2].Value / 3 : Dim.Unknown] : null),
    ];
}

/// <summary>The parts of the definitions of cosine attention, inside a function body.</summary>
internal sealed class CosineHeads(GraphBuilder builder)
{
    private const double NormEpsilon = 5e-5;

    private readonly Value _heads = builder.Attribute("num_heads", typeof(long)).Reshape(1);

    /// <summary>[N, L, h d] to vectors of norm 1, [N, L, h, d].</summary>
    public Value Normalized(Value rows)
    {
        var vectors = rows.Reshape(builder.Concat(0, builder.Int64(0, 0), _heads, builder.Int64(-1)));
        return vectors / (vectors.Reduce("ReduceL2", [3], keepDims: true) + NormEpsilon);
    }

    /// <summary>[N, L, h d] to vectors whose norm is the scale of the head, [N, L, h, d].</summary>
    public Value Query(Value rows, Value scale) => Normalized(rows) * builder.Op("CastLike", [scale, rows]).Unsqueeze(1);

    /// <summary>[N, L, h, d] to [N, L, h d].</summary>
    public static Value Merge(Value vectors) => vectors.Reshape(0, 0, -1);

    /// <summary>Multi-head attention whose products of queries and keys are the scores.</summary>
    public Value Attend(Value query, Value key, Value value, Value bias) => builder.Op(
        nameof(MultiHeadAttention), [query, key, value, bias],
        new() { ["num_heads"] = new AttributeReference("num_heads", typeof(long)), ["scale"] = 1f }, AttentionOp.Domain);
}
