using System.Runtime.Intrinsics;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Kernels.Cpu;
using Microsoft.ML.Attention.Onnx.Kernels.Cuda;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// Global dynamic convolution with its residual sum: each position's key is multiplied with filters that were made of the same picture's
/// patches, and a 1 x 1 convolution makes channels of the products. It is attention without a softmax, and linear in the number of
/// positions.
/// <para>Source: "Troublemaker Learning for Low-Light Image Enhancement" (arXiv 2402.04584), repository Rainbowman0/TML_LLIE.</para>
/// <list type="bullet">
/// <item>Inputs: <c>x</c> and <c>key</c> [N, C, H, W]; <c>filters</c> [N, T, C], one a patch; <c>projection</c> [C, T]; <c>offset</c> [1];
/// <c>bias</c> [C].</item>
/// <item>Outputs: <c>y</c> [N, C, H, W] = x + projection (filters key + offset) + bias.</item>
/// </list>
/// The definition multiplies from right to left. Kernels may multiply <c>projection</c> and <c>filters</c> first, C x C numbers a
/// picture, where that is less work.
/// </summary>
public sealed class GlobalDynamicConvolution : AttentionOp
{
    /// <summary>Adds the operator to a graph.</summary>
    /// <param name="x">[N, C, H, W]</param>
    /// <param name="key">[N, C, H, W]</param>
    /// <param name="filters">[N, T, C]</param>
    /// <param name="projection">[C, T]</param>
    /// <param name="offset">[1], added to each product of a filter and a key.</param>
    /// <param name="bias">[C]</param>
    /// <returns>[N, C, H, W]</returns>
    public static Value Apply(Value x, Value key, Value filters, Value projection, Value offset, Value bias) =>
        x.Builder.Op(nameof(GlobalDynamicConvolution), [x, key, filters, projection, offset, bias], domain: Domain);

    /// <inheritdoc/>
    protected override Function CreateFunction() => GraphBuilder.BuildFunction(
        Domain, Name, ["x", "key", "filters", "projection", "offset", "bias"], ["y"], [], (builder, inputs) =>
        {
            var (x, filters, projection) = (inputs[0], inputs[2], inputs[3]);
            var products = filters.MatMul(Positions(inputs[1])) + inputs[4];
            var branch = projection.MatMul(products) + inputs[5].Reshape(-1, 1);
            return [x + branch.Reshape(x.ShapeOf())];
        });

    internal override bool HasGradient => true;

    internal override Value?[] Gradient(NodeGradient node)
    {
        var (filters, projection, offset) = (node.Input(2), node.Input(3), node.Input(4));
        var (key, grad) = (Positions(node.Input(1)), Positions(node.Grad));
        var (channels, tokens) = (projection.Shape[0].Value, projection.Shape[1].Value);
        Value keyGrad, filtersGrad, projectionGrad;
        // In units of C x H W multiplications the first way takes 2 C, the second one 5 T.
        if (2 * channels < 5 * tokens)
        {
            var productGrad = grad.MatMul(key.TransposeLast());
            keyGrad = projection.MatMul(filters).TransposeLast().MatMul(grad);
            filtersGrad = projection.TransposeLast().MatMul(productGrad);
            projectionGrad = productGrad.MatMul(filters.TransposeLast());
        }
        else
        {
            var productsGrad = projection.TransposeLast().MatMul(grad);
            keyGrad = filters.TransposeLast().MatMul(productsGrad);
            filtersGrad = productsGrad.MatMul(key.TransposeLast());
            projectionGrad = grad.MatMul(filters.MatMul(key).TransposeLast());
        }
        var biasGrad = grad.ReduceSum([0, 2]);
        var columnGrad = biasGrad.Reshape(-1, 1);
        return
        [
            node.Grad,
            node.ReshapeTo(1, keyGrad),
            filtersGrad,
            projectionGrad.ReduceSum([0]) + (columnGrad * offset),
            (projection * columnGrad).ReduceSum([0, 1]).Reshape(1),
            biasGrad,
        ];
    }

    internal override IEnumerable<Kernel> Kernels =>
    [
        Signature.Cpu<float>(SimdKernel.Widest(
            _ => new GlobalDynamicConvolutionKernel<Vector512<float>, Simd512<float>>(),
            _ => new GlobalDynamicConvolutionKernel<Vector256<float>, Simd256<float>>(),
            _ => new GlobalDynamicConvolutionKernel<Vector128<float>, Simd128<float>>())),
        Signature.Cuda<float>(_ => new GlobalDynamicConvolutionKernel<float>()),
        Signature.Cuda<Half>(_ => new GlobalDynamicConvolutionKernel<Half>()),
    ];

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];

    /// <summary>[N, C, H, W] to [N, C, H W].</summary>
    private static Value Positions(Value map) => map.Reshape(0, 0, -1);
}
