using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The identity, but no gradient flows back through it: what it passes on counts as given.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [...].</item>
/// <item>Outputs: <c>y</c> [...].</item>
/// </list>
/// </summary>
public sealed class StopGradient : AttentionOp
{
    /// <summary>Adds the operator to a graph.</summary>
    public static Value Apply(Value x) => x.Builder.Op(nameof(StopGradient), [x], domain: Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() =>
        GraphBuilder.BuildFunction(Domain, Name, ["x"], ["y"], [], (builder, inputs) => [inputs[0]]);

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => [null];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
