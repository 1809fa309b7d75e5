using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The exact (erf) Gaussian error linear unit of a sum with a bias: the end of the first layer of an MLP in one pass over memory.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [..., C], <c>bias</c> [C].</item>
/// <item>Outputs: <c>y</c> [..., C].</item>
/// </list>
/// </summary>
public sealed class BiasGelu : AttentionOp
{
    internal static Value Apply(Value x, Value bias) => x.Builder.Op(nameof(BiasGelu), [x, bias], domain: Domain);

    /// <summary>Moves the biases of linear layers that a GELU follows into the GELU; layers are as <see cref="Linear.Fuse"/> leaves them.</summary>
    internal static void Fuse(Graph graph)
    {
        var producers = graph.Nodes.ToDictionary(node => node.Outputs[0], StringComparer.Ordinal);
        var uses = graph.Nodes.SelectMany(node => node.Inputs).Concat(graph.Outputs).GroupBy(name => name, StringComparer.Ordinal)
            .ToDictionary(group => group.Key, group => group.Count(), StringComparer.Ordinal);
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var gelu = graph.Nodes[i];
            if (gelu is { OpType: "Gelu", Domain: "" } && gelu.Attributes.String("approximate", "none") == "none"
                && UsedHereOnly(gelu.Inputs[0]) is { OpType: "Reshape" } reshape
                && UsedHereOnly(reshape.Inputs[0]) is { OpType: "Gemm", Inputs.Count: 3 } layer && layer.Attributes.Float("beta", 1) == 1
                && graph.Info(layer.Inputs[2]).Shape is { Rank: 1 } bias && graph.Info(gelu.Inputs[0]).Shape is { } x && bias[0].Equals(x[-1]))
            {
                graph.Nodes[i] = new()
                {
                    OpType = nameof(BiasGelu), Domain = Domain, Name = gelu.Name, Inputs = [gelu.Inputs[0], layer.Inputs[2]], Outputs = gelu.Outputs,
                };
                layer.Inputs.RemoveAt(2);
            }
        }

        Node? UsedHereOnly(string name) => uses[name] == 1 ? producers.GetValueOrDefault(name) : null;
    }

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "bias"], ["y"], [], (builder, inputs) => [(inputs[0] + inputs[1]).Gelu()]);

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => BiasGeluGrad.Apply(node.Grad, node.Input(0), node.Input(1));

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            _ => new BiasGeluKernel<Vector512<float>, Simd512<float>>(),
            _ => new BiasGeluKernel<Vector256<float>, Simd256<float>>(),
            _ => new BiasGeluKernel<Vector128<float>, Simd128<float>>())),
        Signature.Cuda<float>(_ => new BiasGeluKernel<float>()),
        Signature.Cuda<Half>(_ => new BiasGeluKernel<Half>()),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];
}
