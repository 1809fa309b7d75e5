using Microsoft.ML.Attention.Onnx.Kernels;
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

    internal override ValueInfo[] InferOutputs(Node node, ValueInfo[] inputs) => [inputs[0]];

    /// <summary>[N, C, H, W] to [N, C, H W].</summary>
    private static Value Positions(Value map) => map.Reshape(0, 0, -1);
}
