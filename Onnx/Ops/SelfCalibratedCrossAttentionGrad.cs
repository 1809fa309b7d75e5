using Microsoft.ML.Attention.Onnx.Kernels;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="SelfCalibratedCrossAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, W, L, C], then the operator's inputs <c>packed</c>, <c>support</c>, <c>index</c> and its outputs
/// <c>output</c>, <c>logsumexp</c>.</item>
/// <item>Outputs: <c>packed_grad</c> [N, W, L, 3 C], <c>support_grad</c> [M, U, S, 2 C].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class SelfCalibratedCrossAttentionGrad : AttentionOp
{
    private const double LeastNorm = 1e-30;

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "packed", "support", "index", "output", "logsumexp"], ["packed_grad", "support_grad"], ["num_heads"],
        (builder, inputs) =>
        {
            var w = new SelfCalibratedWindows(builder, inputs[1], inputs[2], inputs[3]);
            var (outputGrad, output) = (w.Split(Single(inputs[0])), w.Split(Single(inputs[4])));
            var attention = w.Scores.Softmax();
            var mean = (outputGrad * output).ReduceSum([-1], keepDims: true);
            var scoresGrad = attention * (outputGrad.MatMul(Transposed(w.Values)) - mean);
            var (ownGrad, cosinesGrad) = AtLength(scoresGrad, 4);
            ownGrad /= w.Width;

            // A cosine also falls with the norms of the two.
            var productsGrad = cosinesGrad / w.Denominators;
            var normsGrad = productsGrad * w.Cosines;
            var queryGrad = ownGrad.MatMul(w.Key) + productsGrad.MatMul(w.SupportKey)
                - (Unit(w.Query, w.QueryNorm) * normsGrad.MatMul(w.SupportNorm));
            var keyGrad = Transposed(ownGrad).MatMul(w.Query);
            var supportKeyGrad = Transposed(productsGrad).MatMul(w.Query)
                - (Unit(w.SupportKey, w.SupportNorm) * Transposed(normsGrad).MatMul(w.QueryNorm));
            var (valueGrad, supportValueGrad) = AtLength(Transposed(attention).MatMul(outputGrad), 3);
            return
            [
                builder.Op("CastLike", [builder.Concat(3, w.Merge(queryGrad), w.Merge(keyGrad), w.Merge(valueGrad)), inputs[1]]),
                builder.Op("CastLike",
                    [w.SumAligned(builder.Concat(3, w.Merge(supportKeyGrad), w.Merge(supportValueGrad)), inputs[2]), inputs[2]]),
            ];

            static Value Single(Value value) => value.Cast(OnnxRuntime.Tensors.TensorElementType.Float);

            static Value Transposed(Value rows) => rows.Transpose(0, 1, 2, 4, 3);

            Value Unit(Value rows, Value norm) => rows / builder.Op("Max", [norm, builder.Scalar(LeastNorm, norm)]);

            // The parts of a window's own keys and of the support's.
            (Value Own, Value Support) AtLength(Value value, long axis)
            {
                var parts = builder.Ops(
                    "Split", [value, builder.Concat(0, w.Key.ShapeOf(3, 4), w.SupportKey.ShapeOf(3, 4))], 2, new() { ["axis"] = axis });
                return (parts[0], parts[1]);
            }
        });

    internal override bool KeepsSingle(int input) => input == 5;

    internal override IEnumerable<Kernel> Kernels => SelfCalibratedKernels.OfGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2]];
}
