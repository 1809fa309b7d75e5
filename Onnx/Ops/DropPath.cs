namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Stochastic depth: while a model is trained, the branch of a residual block is left out at random for some examples, and scaled up
/// for the others so that its expectation stays. In inference it is the identity, which is the definition here; a training graph
/// replaces it by a product with a random mask.
/// <para>Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016 (arXiv 1603.09382).</para>
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, ...].</item>
/// <item>Outputs: <c>y</c> [N, ...].</item>
/// <item>Attributes: <c>probability</c> of leaving an example's branch out, 0 to below 1.</item>
/// </list>
/// </summary>
public sealed class DropPath : AttentionOp
{
    /// <summary>Adds the operator to a graph; none where the probability is 0.</summary>
    public static Value Apply(Value x, float probability)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(probability);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(probability, 1);
        return probability == 0 ? x : x.Builder.Op(nameof(DropPath), [x], new() { ["probability"] = probability }, Domain);
    }

    /// <inheritdoc/>
    protected override Function CreateFunction() =>
        GraphBuilder.BuildFunction(Domain, Name, ["x"], ["y"], ["probability"], (builder, inputs) => [inputs[0]]);

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
