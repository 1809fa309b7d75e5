using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// <see cref="CosineSelfAttention"/> within windows that hold parts that do not belong together, as those of a rolled map do: 100 is taken
/// off the scores of positions whose marks differ. The masks of all pairs are never in memory.
/// <list type="bullet">
/// <item>Inputs: <c>packed</c> [N, L, 3 * num_heads * d], <c>scale</c> [num_heads] float, <c>bias</c> as there; <c>marks</c> [W, L, M],
/// which tell in one-hot code to what a position of a window belongs; W, the windows of a map, divides N, and M is at most 32.</item>
/// <item>Outputs: <c>output</c> [N, L, num_heads * d].</item>
/// <item>Attributes: <c>num_heads</c>.</item>
/// </list>
/// </summary>
public sealed class CosineWindowAttention : AttentionOp
{
    internal const double Apart = 100;

    internal static Value Apply(Value packed, Value scale, Value bias, Value marks, int headCount) => packed.Builder.Op(
        nameof(CosineWindowAttention), [packed, scale, bias, marks], new() { ["num_heads"] = headCount }, Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["packed", "scale", "bias", "marks"], ["output"], ["num_heads"], (builder, inputs) =>
        {
            var heads = new CosineHeads(builder);
            var parts = MultiHeadSelfAttention.Parts(inputs[0]);
            var marks = inputs[3];
            // A query's marks times a key's are 0 where they are the same.
            var query = Marked(heads.Query(parts[0], inputs[1]), (marks - 1) * Apart);
            return [heads.Attend(query, Marked(heads.Normalized(parts[1]), marks), parts[2], inputs[2])];

            // [N, L, heads, d] to [N, L, heads (d + M)]
            Value Marked(Value vectors, Value channels)
            {
                var grouped = vectors.Reshape(builder.Concat(0, builder.Int64(-1), channels.ShapeOf(0, 1), vectors.ShapeOf(1)));
                var places = builder.Concat(0, grouped.ShapeOf(0, 4), channels.ShapeOf(2, 3));
                var together = builder.Concat(4, grouped, channels.Unsqueeze(0, 3).Expand(places));
                return together.Reshape(builder.Concat(0, vectors.ShapeOf(0, 2), builder.Int64(-1)));
            }
        });

    internal override bool KeepsSingle(int input) => input == 1;

    internal override IEnumerable<Kernel> Kernels
    {
        get
        {
            var signature = new KernelSignature(
                Name, ["packed", new("scale") { Type = TensorElementType.Float }, "bias", "marks"], ["output"]);
            return
            [
                signature.Cuda<float>(attributes => new CosineAttentionKernel<float>(attributes, hasMarks: true)),
                signature.Cuda<Half>(attributes => new CosineAttentionKernel<Half>(attributes, hasMarks: true)),
            ];
        }
    }

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => CosineSelfAttention.Outputs(inputs[0]);
}
