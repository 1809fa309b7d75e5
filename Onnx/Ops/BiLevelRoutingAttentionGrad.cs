using Microsoft.ML.Attention.Onnx.Kernels;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of <see cref="BiLevelRoutingAttention"/>.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, H, W, C], then the operator's <c>query</c>, <c>key</c>, <c>value</c> and its outputs
/// <c>output</c>, <c>routing</c>, <c>logsumexp</c>.</item>
/// <item>Outputs: <c>query_grad</c> [N, H, W, Cq], <c>key_grad</c> [N, H, W, Cq], <c>value_grad</c> [N, H, W, C].</item>
/// <item>Attributes: those of the operator.</item>
/// </list>
/// </summary>
public sealed class BiLevelRoutingAttentionGrad : AttentionOp
{
    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name,
        ["output_grad", "query", "key", "value", "output", "routing", "logsumexp"],
        ["query_grad", "key_grad", "value_grad"],
        BiLevelRoutingAttention.AttributeNames,
        (builder, inputs) =>
        {
            var grid = new RegionGrid(builder, inputs[1]);
            var routing = inputs[5];
            var (query, key) = (grid.Regions(inputs[1]), grid.Regions(inputs[2]));
            var outputGrad = grid.Heads(grid.Regions(inputs[0]));
            var output = grid.Heads(grid.Regions(inputs[4]));
            var values = grid.Heads(grid.Gather(grid.Regions(inputs[3]), routing));

            var attention = grid.Scores(query, key, routing).Softmax();
            var attentionGrad = outputGrad.MatMul(values.Transpose(0, 1, 2, 4, 3));
            var scoresGrad = grid.Scaled(attention * (attentionGrad - (outputGrad * output).ReduceSum([-1], keepDims: true)));

            var queryGrad = scoresGrad.MatMul(grid.Heads(grid.Gather(key, routing)));
            var keyGrad = scoresGrad.Transpose(0, 1, 2, 4, 3).MatMul(grid.Heads(query));
            var valueGrad = attention.Transpose(0, 1, 2, 4, 3).MatMul(outputGrad);
            return
            [
                grid.Map(RegionGrid.MergeHeads(queryGrad)),
                grid.Map(grid.Scatter(RegionGrid.MergeHeads(keyGrad), routing)),
                grid.Map(grid.Scatter(RegionGrid.MergeHeads(valueGrad), routing)),
            ];
        });

    internal override IEnumerable<Kernel> Kernels => BiLevelRoutingKernels.OfGradient;

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[1], inputs[2], inputs[3]];
}
