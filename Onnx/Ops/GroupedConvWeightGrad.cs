using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The gradient of a grouped (mostly depthwise) two-dimensional convolution with respect to its weights.
/// <list type="bullet">
/// <item>Inputs: <c>output_grad</c> [N, M, Ho, Wo] and the convolution's input <c>x</c> [N, C, H, W].</item>
/// <item>Outputs: <c>weight_grad</c> [M, C / group, kH, kW].</item>
/// <item>Attributes: <c>kernel_shape</c>, <c>strides</c>, <c>dilations</c>, <c>pads</c>, <c>group</c> of the convolution, all given.</item>
/// </list>
/// </summary>
public sealed class GroupedConvWeightGrad : AttentionOp
{
    /// <summary>Adds the operator; one spatial axis is treated as two of which the first has size 1.</summary>
    internal static Value Apply(Value outputGrad, Value x, Window window, long group)
    {
        if (window.Rank == 1)
        {
            var (g, input) = (outputGrad.Unsqueeze(2), x.Unsqueeze(2));
            return g.Builder.Op(nameof(GroupedConvWeightGrad), [g, input], new()
            {
                ["kernel_shape"] = (long[])[1, window.Kernel[0]],
                ["strides"] = (long[])[1, window.Strides[0]],
                ["dilations"] = (long[])[1, window.Dilations[0]],
                ["pads"] = (long[])[0, window.Before[0], 0, window.After[0]],
                ["group"] = group,
            }, Domain);
        }
        return x.Builder.Op(nameof(GroupedConvWeightGrad), [outputGrad, x], window.ToAttributes(group), Domain);
    }

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["output_grad", "x"], ["weight_grad"], ["kernel_shape", "strides", "dilations", "pads", "group"], (builder, inputs) =>
        {
            // The gradient is itself a convolution: of the inputs with the output's gradients as a large kernel, where batch and channels
            // have changed places, and strides and dilations have.
            var (g, x) = (inputs[0], inputs[1]);
            var group = builder.Attribute("group", typeof(long)).Reshape(1);
            var (batch, height, width) = (x.ShapeOf(0, 1), x.ShapeOf(2, 3), x.ShapeOf(3, 4));
            var images = x.Reshape(builder.Concat(0, builder.Int64(0), group, builder.Int64(-1), height, width)).Transpose(2, 1, 0, 3, 4)
                .Reshape(builder.Concat(0, builder.Int64(0), group * batch, height, width));
            var kernel = g.Transpose(1, 0, 2, 3);
            var products = builder.Op("Conv", [images, kernel], new()
            {
                ["strides"] = new AttributeReference("dilations", typeof(long[])),
                ["dilations"] = new AttributeReference("strides", typeof(long[])),
                ["pads"] = new AttributeReference("pads", typeof(long[])),
                ["group"] = new AttributeReference("group", typeof(long)),
            });
            var size = builder.Attribute("kernel_shape", typeof(long[]));
            return [builder.Op("Slice", [products, builder.Int64(0, 0), size, builder.Int64(2, 3)]).Transpose(1, 0, 2, 3)];
        });

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            attributes => new GroupedConvWeightGradKernel<Vector512<float>, Simd512<float>>(attributes),
            attributes => new GroupedConvWeightGradKernel<Vector256<float>, Simd256<float>>(attributes),
            attributes => new GroupedConvWeightGradKernel<Vector128<float>, Simd128<float>>(attributes))),
        Signature.Cuda<float>(attributes => new GroupedConvWeightGradKernel<float>(attributes)),
        Signature.Cuda<Half>(attributes => new GroupedConvWeightGradKernel<Half>(attributes)),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs)
    {
        var kernel = node.Attributes.Ints("kernel_shape")!;
        Shape? shape = inputs[0].Shape is { } g && inputs[1].Shape is { } x
            ? [g[1], x[1].IsKnown ? x[1].Value / node.Attributes.Int("group") : Dim.Unknown, kernel[0], kernel[1]]
            : null;
        return [new(inputs[1].Type, shape)];
    }
}
