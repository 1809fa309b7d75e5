using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Two-dimensional convolution of each channel on its own: what Conv is with as many groups as channels. In training, where weights
/// change from step to step, this is the faster form.
/// <list type="bullet">
/// <item>Inputs: <c>x</c> [N, C, H, W], <c>weight</c> [C, 1, kH, kW], optional <c>bias</c> [C].</item>
/// <item>Outputs: <c>y</c> [N, C, Ho, Wo].</item>
/// <item>Attributes: <c>kernel_shape</c>, <c>strides</c>, <c>dilations</c>, <c>pads</c> as for Conv, none left out and no pad negative;
/// <c>group</c>, the number of channels.</item>
/// </list>
/// </summary>
public sealed class DepthwiseConv : AttentionOp
{
    internal static Value Apply(Value x, Value weight, Value? bias, Attributes attributes) =>
        x.Builder.Op(nameof(DepthwiseConv), [x, weight, bias], attributes, Domain);

    /// <summary>Turns the depthwise convolutions among a graph's Conv nodes into this operator; sizes are known.</summary>
    internal static void Replace(Graph graph)
    {
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            if (node is not { OpType: "Conv", Domain: "" } || graph.Info(node.Inputs[0]).Shape is not { Rank: 4, IsStatic: true } x ||
                graph.Info(node.Inputs[1]).Shape is not { IsStatic: true } weight || !IsDepthwise(weight, node.Attributes.Int("group", 1)))
                continue;
            var window = new Window(node, x.ToArray()[2..], weight.ToArray()[2..], graph.Info(node.Outputs[0]).Shape!.ToArray()[2..]);
            if (window.Pads.All(pad => pad >= 0))
            {
                graph.Nodes[i] = new()
                {
                    OpType = nameof(DepthwiseConv),
                    Domain = Domain,
                    Name = node.Name,
                    Inputs = node.Inputs,
                    Outputs = node.Outputs,
                    Attributes = window.ToAttributes(weight[0].Value),
                };
            }
        }
    }

    /// <summary>Whether each channel of two spatial axes has exactly one filter.</summary>
    internal static bool IsDepthwise(Shape weight, long group) => weight.Rank == 4 && weight[1] == 1 && weight[0] == group && group > 1;

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "weight", "bias"], ["y"], ["kernel_shape", "strides", "dilations", "pads", "group"], (builder, inputs) =>
        [
            builder.Op("Conv", inputs!, new()
            {
                ["kernel_shape"] = new AttributeReference("kernel_shape", typeof(long[])),
                ["strides"] = new AttributeReference("strides", typeof(long[])),
                ["dilations"] = new AttributeReference("dilations", typeof(long[])),
                ["pads"] = new AttributeReference("pads", typeof(long[])),
                ["group"] = new AttributeReference("group", typeof(long)),
            }),
        ]);

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node) => ConvolutionGradients.Conv(node);

    internal override IEnumerable<Kernel> Kernels =>
    [
        KernelContract.Cpu<float>(SimdKernel.Widest(
            attributes => new DepthwiseConvKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new DepthwiseConvKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new DepthwiseConvKernel<Vector128<float>, Simd128<float>>(attributes))),
        KernelContract.Cuda<float>(attributes => new DepthwiseConvKernel<float>(attributes)),
        KernelContract.Cuda<Half>(attributes => new DepthwiseConvKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        if (inputs[0].Shape is not { } x)
            return [new(inputs[0].Type, null)];
        Dim Places(int axis)
        {
            if (!x[2 + axis].IsKnown)
                return Dim.Unknown;
            var pads = node.Attributes.Ints("pads")!;
            var extent = ((node.Attributes.Ints("kernel_shape")![axis] - 1) * node.Attributes.Ints("dilations")![axis]) + 1;
            return ((x[2 + axis].Value + pads[axis] + pads[axis + 2] - extent) / node.Attributes.Ints("strides")![axis]) + 1;
        }
        return [new(inputs[0].Type, [x[0], x[1], Places(0), Places(1)])];
    }

    private static KernelSignature KernelContract => new(nameof(DepthwiseConv), ["x", "weight", new("bias") { Optional = true }], ["y"]);
}
