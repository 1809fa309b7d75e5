using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.Attention.Onnx.Tests.Training.GradientCheck;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

public class GradientTests
{
    [Theory]
    [InlineData("Abs")]
    [InlineData("Acos")]
    [InlineData("Asin")]
    [InlineData("Atan")]
    [InlineData("Celu")]
    [InlineData("Cos")]
    [InlineData("Elu")]
    [InlineData("Erf")]
    [InlineData("Exp")]
    [InlineData("Gelu")]
    [InlineData("HardSigmoid")]
    [InlineData("HardSwish")]
    [InlineData("Identity")]
    [InlineData("LeakyRelu")]
    [InlineData("Mish")]
    [InlineData("Neg")]
    [InlineData("Relu")]
    [InlineData("Selu")]
    [InlineData("Sigmoid")]
    [InlineData("Sin")]
    [InlineData("Softplus")]
    [InlineData("Softsign")]
    [InlineData("Tan")]
    [InlineData("Tanh")]
    public void Elementwise(string op) => Verify(x => [x[0].Apply(op)], [Random(1, 3, 5)]);

    [Theory]
    [InlineData("HardSigmoid")]
    [InlineData("HardSwish")]
    [InlineData("Softplus")]
    public void Elementwise_beyond_the_bends(string op) => Verify(x => [(x[0] * 6).Apply(op)], [Random(2, 3, 7)]);

    [Theory]
    [InlineData("Log")]
    [InlineData("Reciprocal")]
    [InlineData("Sqrt")]
    public void Elementwise_of_positive_numbers(string op) => Verify(x => [x[0].Apply(op)], [Uniform(1, 0.5, 2, 3, 5)]);

    [Theory]
    [InlineData("Ceil")]
    [InlineData("Floor")]
    [InlineData("Round")]
    [InlineData("Sign")]
    public void Steps_have_no_gradient(string op) => Verify(x => [x[0].Apply(op) + x[0]], [Random(1, 7)]);

    [Theory]
    [InlineData("alpha", 0.7f, "Celu")]
    [InlineData("alpha", 0.7f, "Elu")]
    [InlineData("alpha", 0.3f, "LeakyRelu")]
    [InlineData("alpha", 0.4f, "HardSigmoid")]
    [InlineData("alpha", 1.1f, "Selu")]
    [InlineData("alpha", 0.2f, "ThresholdedRelu")]
    public void Elementwise_with_attribute(string name, float value, string op) =>
        Verify(x => [x[0].Builder.Op(op, [x[0]], new() { [name] = value })], [Random(3, 4, 6)]);

    [Fact]
    public void Gelu_of_a_sum_with_a_bias() => Verify(x => [BiasGelu.Apply(x[0], x[1])], [Random(1, 2, 3, 5), Random(2, 5)]);

    [Fact]
    public void Windows_of_a_map() => Verify(
        x => [WindowMerge.Apply(WindowPartition.Apply(x[0], 3, 1) * x[1], x[0], 3, 2)], [Random(1, 2, 4, 5, 3), Random(2, 8, 9, 3)]);

    [Fact]
    public void Gelu_by_tanh() => Verify(x => [x[0].Builder.Op("Gelu", [x[0]], new() { ["approximate"] = "tanh" })], [Random(1, 3, 5)]);

    [Fact]
    public void Clip() => Verify(x => [x[0].Builder.Op("Clip", [x[0], x[0].Builder.Scalar(-0.5, x[0]), x[0].Builder.Scalar(0.4, x[0])])],
        [Random(1, 20)]);

    [Theory]
    [InlineData("Add")]
    [InlineData("Sub")]
    [InlineData("Mul")]
    [InlineData("Div")]
    [InlineData("Max")]
    [InlineData("Min")]
    [InlineData("Sum")]
    [InlineData("Mean")]
    public void Broadcasting(string op)
    {
        Func<Value[], Value[]> build = x => [x[0].Builder.Op(op, [x[0], x[1]])];
        Verify(build, [Random(1, 2, 3, 4), Uniform(2, 0.5, 1.5, 3, 1)]);
        Verify(build, [Random(3, 3, 1), Uniform(4, 0.5, 1.5, 2, 3, 4)]);
        Verify(build, [Random(5, 1, 3, 1), Uniform(6, 0.5, 1.5, 2, 1, 4)]);
        Verify(build, [Random(7), Uniform(8, 0.5, 1.5, 5)]);
    }

    [Fact]
    public void Several_summands()
    {
        Verify(x => [x[0].Builder.Op("Sum", x), x[0].Builder.Op("Mean", x), x[0].Builder.Op("Max", x)],
            [Random(1, 2, 3), Random(2, 3), Random(3, 2, 1)]);
    }

    [Fact]
    public void Power()
    {
        Verify(x => [x[0].Builder.Op("Pow", [x[0], x[1]])], [Uniform(1, 0.5, 2, 2, 3), Random(2, 3)]);
        Verify(x => [x[0].Builder.Op("Pow", [x[0], x[0].Builder.Scalar(2, x[0])]),
            x[0].Builder.Op("Pow", [x[0], x[0].Builder.Scalar(3, x[0])])], [Random(1, 2, 3)]);
    }

    [Fact]
    public void ParametricRelu() => Verify(x => [x[0].Builder.Op("PRelu", [x[0], x[1]])], [Random(1, 2, 3, 4), Random(2, 3, 1)]);

    [Fact]
    public void Choice() => Verify(x => [Gradients.IsPositive(x[2] + x[0]).Where(x[0], x[1]) + x[2]],
        [Random(1, 2, 3), Random(2, 3), Random(3, 2, 1)]);

    [Fact]
    public void A_value_used_often_gets_the_sum() =>
        Verify(x => [(x[0] * x[0]) + x[0].Apply("Sin"), x[0] * x[1] * x[0]], [Random(1, 2, 3), Random(2, 3)]);

    [Fact]
    public void Integers_and_comparisons_stop_the_gradient()
    {
        var rank = (Value x) => x.TopK(x.Builder.Int64(1)).Indices.Cast(x.Type);
        Verify(x => [(x[0] * rank(x[0])) + Gradients.IsPositive(x[0]).Cast(x[0].Type)], [Random(1, 2, 3)]);
    }

    [Theory]
    [InlineData(new[] { 3, 4 }, new[] { 4, 5 })]
    [InlineData(new[] { 2, 3, 4 }, new[] { 4, 5 })]
    [InlineData(new[] { 2, 3, 4 }, new[] { 2, 4, 5 })]
    [InlineData(new[] { 1, 2, 3, 4 }, new[] { 3, 1, 4, 2 })]
    [InlineData(new[] { 3, 4 }, new[] { 2, 4, 5 })]
    [InlineData(new[] { 4 }, new[] { 4, 5 })]
    [InlineData(new[] { 3, 4 }, new[] { 4 })]
    [InlineData(new[] { 4 }, new[] { 4 })]
    [InlineData(new[] { 4 }, new[] { 2, 4, 3 })]
    [InlineData(new[] { 2, 3, 4 }, new[] { 4 })]
    public void MatrixProduct(int[] left, int[] right) => Verify(x => [x[0].MatMul(x[1])], [Random(1, left), Random(2, right)]);

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Gemm(bool transposeA, bool transposeB)
    {
        Attributes attributes = new() { ["transA"] = transposeA, ["transB"] = transposeB, ["alpha"] = 0.5f, ["beta"] = 2f };
        int[] a = transposeA ? [4, 3] : [3, 4], b = transposeB ? [5, 4] : [4, 5];
        Verify(x => [x[0].Builder.Op("Gemm", x, attributes)], [Random(1, a), Random(2, b), Random(3, 5)]);
        Verify(x => [x[0].Builder.Op("Gemm", x, attributes)], [Random(1, a), Random(2, b), Random(3, 3, 1)]);
        Verify(x => [x[0].Builder.Op("Gemm", x, new() { ["transA"] = transposeA, ["transB"] = transposeB })], [Random(1, a), Random(2, b)]);
    }

    [Theory]
    [InlineData("ij,jk->ik", new[] { 2, 3 }, new[] { 3, 4 })]
    [InlineData("bij,bkj->bik", new[] { 2, 3, 4 }, new[] { 2, 5, 4 })]
    [InlineData("ij,k->ik", new[] { 2, 3 }, new[] { 4 })]
    public void Einsum(string equation, int[] left, int[] right) =>
        Verify(x => [x[0].Builder.Op("Einsum", x, new() { ["equation"] = equation })], [Random(1, left), Random(2, right)]);

    [Theory]
    [InlineData(1, 3, 1, 1, 1, 4, 6)] // padded
    [InlineData(2, 3, 1, 1, 1, 4, 6)] // strided
    [InlineData(1, 3, 2, 2, 1, 4, 6)] // dilated
    [InlineData(1, 1, 0, 1, 1, 4, 6)] // pointwise
    [InlineData(2, 1, 0, 1, 1, 4, 6)] // pointwise, strided
    [InlineData(2, 2, 0, 1, 1, 4, 6)] // patches
    [InlineData(1, 3, 1, 1, 2, 4, 6)] // grouped
    [InlineData(2, 3, 1, 1, 2, 4, 6)]
    [InlineData(1, 3, 1, 1, 4, 4, 4)] // depthwise
    [InlineData(2, 5, 2, 1, 4, 4, 4)]
    [InlineData(1, 3, 2, 2, 4, 4, 8)] // depthwise with multiplier
    public void Convolution(int stride, int kernel, int pad, int dilation, int group, int channels, int filters) => Verify(
        x => [x[0].Builder.Op("Conv", x, new()
        {
            ["kernel_shape"] = new[] { kernel, kernel }, ["strides"] = new[] { stride, stride }, ["pads"] = new[] { pad, pad, pad, pad },
            ["dilations"] = new[] { dilation, dilation }, ["group"] = group,
        })],
        [Random(1, 2, channels, 6, 8), Random(2, filters, channels / group, kernel, kernel), Random(3, filters)]);

    [Fact]
    public void Convolution_of_odd_shapes()
    {
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["pads"] = new[] { 0, 2, 1, 1 }, ["strides"] = new[] { 2, 3 } })],
            [Random(1, 1, 2, 7, 5), Random(2, 3, 2, 3, 2)]);
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["strides"] = new[] { 3, 2 } })], [Random(1, 1, 2, 8, 5), Random(2, 3, 2, 3, 2)]);
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["auto_pad"] = "SAME_UPPER", ["strides"] = new[] { 2, 2 } })],
            [Random(1, 1, 2, 7, 6), Random(2, 3, 2, 3, 3)]);
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["pads"] = new[] { 4, 4 } })],
            [Random(1, 2, 3, 9), Random(2, 4, 3, 3), Random(3, 4)]);
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["pads"] = new[] { 1, 1 }, ["group"] = 3, ["strides"] = new[] { 2 } })],
            [Random(1, 2, 3, 9), Random(2, 3, 1, 3)]);
        Verify(x => [x[0].Builder.Op("Conv", x, new() { ["pads"] = new[] { 0, 1, 1, 0, 1, 1 } })],
            [Random(1, 1, 2, 3, 4, 3), Random(2, 2, 2, 2, 3, 3)]);
    }

    [Theory]
    [InlineData(1, 1, 0, 1)]
    [InlineData(2, 1, 1, 1)]
    [InlineData(2, 0, 0, 2)]
    public void TransposedConvolution(int stride, int pad, int outputPadding, int group) => Verify(
        x => [x[0].Builder.Op("ConvTranspose", x, new()
        {
            ["kernel_shape"] = new[] { 3, 3 }, ["strides"] = new[] { stride, stride }, ["pads"] = new[] { pad, pad, pad, pad },
            ["output_padding"] = new[] { outputPadding, outputPadding }, ["group"] = group,
        })],
        [Random(1, 2, 4, 3, 4), Random(2, 4, 2, 3, 3), Random(3, 2 * group)]);

    [Fact]
    public void Pooling()
    {
        Func<string, Attributes, Func<Value[], Value[]>> pool = (op, attributes) => x => [x[0].Builder.Op(op, x, attributes)];
        var input = new[] { Random(1, 2, 3, 7, 6) };
        foreach (var op in new[] { "MaxPool", "AveragePool" })
        {
            Verify(pool(op, new() { ["kernel_shape"] = new[] { 2, 2 }, ["strides"] = new[] { 2, 2 } }), input);
            Verify(pool(op, new() { ["kernel_shape"] = new[] { 3, 3 }, ["strides"] = new[] { 2, 1 }, ["pads"] = new[] { 1, 1, 1, 1 } }),
                input);
            Verify(pool(op, new() { ["kernel_shape"] = new[] { 3, 2 }, ["strides"] = new[] { 2, 2 }, ["ceil_mode"] = 1 }), input);
            Verify(pool(op, new() { ["kernel_shape"] = new[] { 3 }, ["strides"] = new[] { 2 }, ["pads"] = new[] { 1, 0 } }),
                [Random(2, 2, 3, 8)]);
        }
        Verify(pool("AveragePool", new() { ["kernel_shape"] = new[] { 3, 3 }, ["strides"] = new[] { 2, 2 },
            ["pads"] = new[] { 1, 1, 1, 1 }, ["count_include_pad"] = 1 }), input);
        Verify(pool("AveragePool", new() { ["kernel_shape"] = new[] { 3, 3 }, ["strides"] = new[] { 2, 2 }, ["auto_pad"] = "SAME_LOWER" }),
            input);
        Verify(pool("GlobalAveragePool", []), input);
        Verify(pool("GlobalMaxPool", []), input);
    }

    [Theory]
    [InlineData("ReduceSum")]
    [InlineData("ReduceMean")]
    [InlineData("ReduceMax")]
    [InlineData("ReduceMin")]
    [InlineData("ReduceProd")]
    [InlineData("ReduceL1")]
    [InlineData("ReduceL2")]
    [InlineData("ReduceSumSquare")]
    [InlineData("ReduceLogSum")]
    [InlineData("ReduceLogSumExp")]
    public void Reductions(string op)
    {
        foreach (var keep in new[] { true, false })
        {
            foreach (var axes in new long[][] { [1], [0, 2], [-1], [0, 1, 2] })
                Verify(x => [x[0].Reduce(op, axes, keep)], [Uniform(1, 0.5, 2, 2, 3, 4)]);
        }
        Verify(x => [x[0].Builder.Op(op, [x[0]])], [Uniform(1, 0.5, 2, 2, 3)]);
    }

    [Fact]
    public void Product_of_numbers_of_which_some_are_zero()
    {
        var x = Random(1, 2, 3);
        x.Data[1] = 0;
        Verify(inputs => [inputs[0].Reduce("ReduceProd", [1], keepDims: false)], [x]);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    public void CumulativeSum(int exclusive, int reverse) => Verify(
        x => [x[0].Builder.Op("CumSum", [x[0], x[0].Builder.Constant(Tensor.Scalar(1L))],
            new() { ["exclusive"] = exclusive, ["reverse"] = reverse })], [Random(1, 2, 4, 3)]);

    [Fact]
    public void Shapes_and_orders()
    {
        Verify(x => [x[0].Reshape(4, -1), x[0].Transpose(2, 0, 1), x[0].Builder.Op("Transpose", x), x[0].Unsqueeze(0, 2),
            x[0].Builder.Op("Flatten", x, new() { ["axis"] = 2 })], [Random(1, 2, 3, 4)]);
        Verify(x => [x[0].Squeeze(1), x[0].Builder.Op("Squeeze", x)], [Random(1, 2, 1, 3, 1)]);
        Verify(x => [x[0].Builder.Op("SpaceToDepth", x, new() { ["blocksize"] = 2 })], [Random(1, 1, 3, 4, 6)]);
        foreach (var mode in new[] { "DCR", "CRD" })
            Verify(x => [x[0].Builder.Op("DepthToSpace", x, new() { ["blocksize"] = 2, ["mode"] = mode })], [Random(1, 1, 8, 2, 3)]);
    }

    [Theory]
    [InlineData(1, 4, 1)]
    [InlineData(0, 7, 2)]
    [InlineData(1, 7, 3)]
    [InlineData(-2, -7, -1)]
    [InlineData(6, long.MinValue, -2)]
    [InlineData(-1, 0, -3)]
    [InlineData(2, 3, 5)]
    public void Slicing(long start, long end, long step) => Verify(x => [x[0].Slice(1, start, end, step)], [Random(1, 2, 7, 3)]);

    [Fact]
    public void Slicing_several_axes() => Verify(
        x => [x[0].Builder.Op("Slice", [x[0], x[0].Builder.Int64(1, -1), x[0].Builder.Int64(5, -100), x[0].Builder.Int64(0, 2),
            x[0].Builder.Int64(2, -2)])], [Random(1, 6, 2, 5)]);

    [Fact]
    public void Joins_and_parts()
    {
        Verify(x => [x[0].Builder.Concat(1, x[0], x[1], x[0])], [Random(1, 2, 3), Random(2, 2, 1)]);
        Verify(x => { var parts = x[0].Split(-1, 2, 3, 1); return [parts[0] * 2, parts[2]]; }, [Random(1, 2, 6)]);
        Verify(x => x[0].Builder.Ops("Split", [x[0]], 3, new() { ["axis"] = 1, ["num_outputs"] = 3 }), [Random(1, 2, 7)]);
        Verify(x => [x[0].Expand(x[0].Builder.Int64(2, 3, 4))], [Random(1, 3, 1)]);
        Verify(x => [x[0].Builder.Op("Tile", [x[0], x[0].Builder.Int64(2, 1, 3)])], [Random(1, 2, 3, 2)]);
        Verify(x => [x[0].Builder.Op("Trilu", [x[0]], new() { ["upper"] = 0 })], [Random(1, 3, 4)]);
    }

    [Fact]
    public void Padding()
    {
        Verify(x => [x[0].Pad(0, 1, 2, 0, 2, 0)], [Random(1, 2, 3, 4)]);
        Verify(x => [x[0].Pad(0, -1, 2, 0, 2, -1)], [Random(1, 2, 3, 4)]);
        foreach (var mode in new[] { "reflect", "edge", "wrap" })
            Verify(x => [x[0].Builder.Op("Pad", [x[0], x[0].Builder.Int64(0, 2, 1, 0, 1, 2)], new() { ["mode"] = mode })],
                [Random(1, 2, 3, 4)]);
    }

    [Fact]
    public void Gathering()
    {
        foreach (var axis in new[] { 0, 1, 2 })
            Verify(x => [x[0].Gather(x[1], axis)], [Random(1, 3, 4, 3), Integers([2, 2], 0, 2, 2, 1)]);
        Verify(x => [x[0].Gather(x[1])], [Random(1, 3, 4), Integers([], -1)]);
        Verify(x => [x[0].GatherElements(x[1], 1)], [Random(1, 2, 4), Integers([2, 3], 0, 2, 2, 1, 3, 0)]);
        Verify(x => [x[0].Builder.Op("GatherND", x)], [Random(1, 3, 4, 2), Integers([3, 2], 0, 1, 2, 3, 0, 1)]);
        Verify(x => [x[0].Builder.Op("GatherND", x, new() { ["batch_dims"] = 1 })], [Random(1, 2, 4, 3), Integers([2, 2, 1], 0, 1, 3, 3)]);
    }

    [Theory]
    [InlineData("none", new[] { 0, 2, 1, 3 })]
    [InlineData("add", new[] { 0, 2, 2, 2 })]
    public void Scattering(string reduction, int[] indices)
    {
        Attributes attributes = new() { ["reduction"] = reduction };
        Verify(x => [x[0].Builder.Op("ScatterElements", [x[0], x[2], x[1]], new() { ["reduction"] = reduction, ["axis"] = 1 })],
            [Random(1, 2, 4), Random(2, 2, 2), Integers([2, 2], indices)]);
        Verify(x => [x[0].Builder.Op("ScatterND", [x[0], x[2], x[1]], attributes)],
            [Random(1, 4, 3), Random(2, 4, 3), Integers([4, 1], indices)]);
    }

    [Fact]
    public void LargestElements() => Verify(x => [x[0].TopK(x[0].Builder.Int64(2), 1).Values], [Random(1, 3, 5, 2)]);

    [Theory]
    [InlineData("nearest", "half_pixel")]
    [InlineData("nearest", "asymmetric")]
    [InlineData("linear", "half_pixel")]
    [InlineData("linear", "align_corners")]
    [InlineData("linear", "asymmetric")]
    [InlineData("cubic", "half_pixel")]
    public void Resizing(string mode, string coordinates)
    {
        Attributes attributes = new() { ["mode"] = mode, ["coordinate_transformation_mode"] = coordinates };
        if (coordinates == "asymmetric")
            attributes["nearest_mode"] = "floor";
        foreach (var sizes in new long[][] { [1, 2, 8, 10], [1, 2, 3, 7] })
            Verify(x => [x[0].Builder.Op("Resize", [x[0], null, null, x[0].Builder.Int64(sizes)], attributes)], [Random(1, 1, 2, 4, 5)]);
        Verify(x => [x[0].Builder.Op("Resize", [x[0], null, x[0].Builder.Constant(Tensor.Create<float>([1, 1, 2, 1.7f], 4))], attributes)],
            [Random(1, 1, 2, 4, 5)]);
    }

    [Fact]
    public void Resizing_with_antialiasing() => Verify(
        x => [x[0].Builder.Op("Resize", [x[0], null, null, x[0].Builder.Int64(1, 2, 3, 4)],
            new() { ["mode"] = "linear", ["antialias"] = 1 })], [Random(1, 1, 2, 7, 9)]);

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public void Softmaxes(int axis)
    {
        Verify(x => [x[0].Softmax(axis)], [Random(1, 2, 3, 4)]);
        Verify(x => [x[0].LogSoftmax(axis)], [Random(1, 2, 3, 4)]);
    }

    [Fact]
    public void Normalizations()
    {
        Verify(x => [x[0].LayerNormalization(x[1], x[2], 1e-5f)], [Random(1, 2, 3, 5), Random(2, 5), Random(3, 5)]);
        Verify(x => [x[0].Builder.Op("LayerNormalization", x, new() { ["axis"] = 1 })], [Random(1, 2, 3, 5), Random(2, 3, 5)]);
        Verify(x => [x[0].Builder.Op("BatchNormalization", [.. x, Filled(x[0], 0.3, 3), Filled(x[0], 1.7, 3)])],
            [Random(1, 2, 3, 4, 5), Random(2, 3), Random(3, 3)]);
        Verify(x => [x[0].Builder.Op("InstanceNormalization", x)], [Random(1, 2, 3, 4, 5), Random(2, 3), Random(3, 3)]);
        Verify(x => [x[0].Builder.Op("GroupNormalization", x, new() { ["num_groups"] = 2 })],
            [Random(1, 2, 4, 3, 2), Random(2, 2), Random(3, 2)]);
        foreach (var p in new[] { 1, 2 })
            Verify(x => [x[0].Builder.Op("LpNormalization", x, new() { ["p"] = p, ["axis"] = 1 })], [Random(1, 2, 3, 4)]);
    }

    [Fact]
    public void BatchNormalization_by_statistics_of_the_batch() => Verify(
        x => [x[0].Builder.Ops("BatchNormalizationTraining", [.. x, Filled(x[0], 0, 2), Filled(x[0], 1, 2)], 3,
            new() { ["epsilon"] = 1e-3f, ["momentum"] = 0.1f }, AttentionOp.Domain)[0]],
        [Random(1, 3, 2, 4, 3), Random(2, 2), Random(3, 2)]);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void GroupNorm(bool silu) => Verify(
        x => [Ops.GroupNorm.Apply(x[0], x[1], x[2], 2, 1e-3f, silu)], [Random(1, 2, 6, 3, 2), Random(2, 6), Random(3, 6)]);

    [Fact]
    public void SmoothL1() => Verify(x => [Losses.SmoothL1(x[0], x[1])], [Uniform(1, -2, 2, 3, 4), Uniform(2, -2, 2, 3, 4)]);

    [Theory]
    [InlineData(5, 3, 5, 2)] // multiplied from right to left
    [InlineData(3, 4, 2, 6)] // projection and filters first
    public void GlobalDynamicConvolutions(int channels, int height, int width, int tokens) => Verify(
        x => [GlobalDynamicConvolution.Apply(x[0], x[1], x[2], x[3], x[4], x[5])],
        [
            Random(1, 2, channels, height, width), Random(2, 2, channels, height, width), Random(3, 2, tokens, channels),
            Random(4, channels, tokens), Random(5, 1), Random(6, channels),
        ]);

    [Theory]
    [InlineData(3, 2, 6, 2, 5)]
    [InlineData(2, 1, 3, 1, 4)]
    public void RaftMixing(int height, int width, int channels, int raftSize, int hidden) => Verify(
        x => [Ops.RaftMixing.Apply(x[0], (x[1], x[2]), (x[3], x[4]), (x[5], x[6]), x[0].Builder.Scalar(0.7f, x[0]), raftSize, 1e-5f)],
        [
            Random(1, 2, height, width, channels), Random(2, channels), Random(3, channels), Random(4, hidden, raftSize * height),
            Random(5, hidden), Random(6, raftSize * height, hidden), Random(7, raftSize * height),
        ]);

    [Theory]
    [InlineData(2, 3, 5, 2, 3, 2)]
    [InlineData(1, 1, 4, 1, 2, 5)]
    public void MultiHeadAttention(int batch, int queries, int keys, int heads, int width, int valueWidth)
    {
        ReferenceArray[] inputs =
        [
            GradientCheck.Random(1, batch, queries, heads * width), GradientCheck.Random(2, batch, keys, heads * width),
            GradientCheck.Random(3, batch, keys, heads * valueWidth),
        ];
        Verify(x => [Ops.MultiHeadAttention.Apply(x[0], x[1], x[2], heads)], inputs);
        foreach (var bias in new int[][] { [1, heads, queries, keys], [batch, 1, 1, keys], [queries, 1], [1] })
            Verify(x => [Ops.MultiHeadAttention.Apply(x[0], x[1], x[2], heads, x[3], 0.7f)], [.. inputs, GradientCheck.Random(4, bias)]);
    }

    [Fact]
    public void MultiHeadSelfAttention()
    {
        Verify(x => [Ops.MultiHeadSelfAttention.Apply(x[0], 2)], [Random(1, 2, 5, 3 * 2 * 3)]);
        Verify(x => [Ops.MultiHeadSelfAttention.Apply(x[0], 2, x[1])], [Random(1, 2, 5, 3 * 2 * 3), Random(2, 2, 5, 5)]);
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(1, 2)]
    [InlineData(2, 2)]
    [InlineData(2, 0)]
    public void ConsistentSelfAttention(int mode, int bankTokens)
    {
        const int Groups = 2, Images = 2, Tokens = 3, Channels = 4;
        bool[] mask = [.. Enumerable.Range(0, Images * (bankTokens + (Images * Tokens))).Select(i => i % 3 == 0)];
        Verify(
            x => [Ops.ConsistentSelfAttention.Apply(
                x[0], x[1], x[2], x[3], x[4], x[0].Builder.Constant(Tensor.Create<bool>(mask, Images, mask.Length / Images)),
                x[0].Builder.Constant(Tensor.Create<int>([0, mode], 2)), headCount: 2, Groups, layer: 1)],
            [
                Random(1, Groups * Images, Tokens, Channels), Random(2, Groups * Images, Tokens, Channels),
                Random(3, Groups * Images, Tokens, Channels), Random(4, Groups, bankTokens, Channels), Random(5, Groups, bankTokens, Channels),
            ]);
    }

    [Theory]
    [InlineData(4, 4, 2, 2, 2)]
    [InlineData(5, 3, 1, 2, 3)]
    public void BiLevelRouting(int height, int width, int heads, int windows, int topK) => Verify(
        x => [BiLevelRoutingAttention.Apply(x[0], x[1], x[2], heads, windows, topK)],
        [Random(1, 1, height, width, 4), Random(2, 1, height, width, 4), Random(3, 1, height, width, 6)]);

    [Theory]
    [InlineData(4, 2, 3, 2, 5, 4)]
    [InlineData(6, 1, 7, 3, 2, 3)]
    [InlineData(4, 4, 3, 1, 1, 5)]
    [InlineData(4, 2, 5, 2, 3, 1)]
    public void Efficient_local_attention(int channels, int channelsPerGroup, int kernel, int normGroups, int height, int width) => Verify(
        x => [EfficientLocalAttention.Apply(x[0], x[1], x[2], x[3], normGroups, epsilon: 1e-2f)],
        [Random(1, 2, channels, height, width), Random(2, channels, channelsPerGroup, kernel), Random(3, channels), Random(4, channels)]);

    [Fact]
    public void Conversions() => Verify(x => [x[0].Cast(TensorElementType.Float) * 2], [Random(1, 3)], onnxRuntime: true);

    private static Value Filled(Value like, double value, long count) => like.Builder.Scalar(value, like).Expand(like.Builder.Int64(count));

    [Theory]
    [InlineData("BiasGrad", new long[] { 5 })]
    [InlineData("BiasGrad", new long[] { 1, 1, 5 })]
    [InlineData("BiasGrad", new long[] { 4, 1 })]
    [InlineData("ReduceSum", new long[] { 3, 1, 1 })]
    [InlineData("ReduceSum", new long[] { 1, 4, 5 })]
    public void The_gradient_of_a_bias_of_one_axis_is_a_BiasGrad(string op, long[] bias)
    {
        var builder = new GraphBuilder();
        var sum = builder.Input("x", TensorElementType.Float, [3, 4, 5]) + builder.Input("bias", TensorElementType.Float, Shape.Of(bias));
        var gradient = Backward.Differentiate((sum * sum).ReduceMean([0, 1, 2]), ["bias"])["bias"];
        Assert.Equal(bias, gradient.Shape.ToArray());
        Assert.Equal([op], builder.Graph.Nodes.Select(node => node.OpType).Intersect(["BiasGrad", "ReduceSum"]));
    }

    [Fact]
    public void An_operator_without_rule_is_named()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, [2, 3]);
        var y = builder.Op("Hardmax", [x]).ReduceSum([0, 1]);
        var error = Assert.Throws<NotSupportedException>(() => Backward.Differentiate(y, ["x"]));
        Assert.Contains("'Hardmax'", error.Message);
        Assert.Contains("Hardmax_0", error.Message);
    }
}
