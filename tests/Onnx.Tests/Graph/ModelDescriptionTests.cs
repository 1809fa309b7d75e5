using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

public class ModelDescriptionTests
{
    /// <summary>
    /// Published numbers of parameters and multiplications. What models here compute in another way than their authors differs: RaftMLP's
    /// patches of several kernels are one convolution (2.087 published), convolutions inside TNT's patches are products (5.22 and 0.59).
    /// </summary>
    [Theory]
    [InlineData("resnet18", 11_689_512, 1.814)]
    [InlineData("resnet50", 25_557_032, 4.089)]
    [InlineData("mobilenetv2", 3_504_872, 0.301)]
    [InlineData("mobilenetv2_ela_s", 3_803_240, 0.308)]
    [InlineData("mobilenetv2_ela_l", 3_916_904, 0.311)]
    [InlineData("resnet50_ela_l", 26_433_064, 4.115)]
    [InlineData("raftmlp_s", 9_868_768, 2.026)]
    [InlineData("tnt_s_patch16_224", 23_765_000, 5.266)]
    [InlineData("ptnt_ti_patch16_192", 10_580_000, 0.604)]
    [InlineData("biformer_tiny", 13_140_000, 2.216)]
    public void Parameters_and_multiplications_are_the_published_ones(string architecture, long parameters, double gigaMacs)
    {
        var config = ImageClassifiers.Find(architecture);
        var description = ModelDescription.Of(config.Build(new RandomWeights(0), config.Input.Size, config.Input.Size));
        Assert.InRange(description.ParameterCount, 0.999 * parameters, 1.001 * parameters);
        Assert.Empty(description.UncountedNodes);
        Assert.InRange(description.Macs / 1e9, gigaMacs - 0.001, gigaMacs + 0.001);
    }

    [Fact]
    public void Products_and_convolutions_are_counted_by_their_sizes()
    {
        var builder = new GraphBuilder("counts");
        var picture = builder.Input("picture", TensorElementType.Float, ["N", 4, "H", "W"]);
        var rows = builder.Input("rows", TensorElementType.Float, ["N", 6]);
        var weight = builder.Initializer("conv.weight", Tensor.Create<float>(new float[8 * 2 * 3 * 3], 8, 2, 3, 3));
        var linear = builder.Initializer("fc.weight", Tensor.Create<float>(new float[6 * 5], 6, 5));
        builder.Output("map", builder.Op("Conv", [picture, weight], new() { ["group"] = 2, ["pads"] = new long[] { 1, 1, 1, 1 } }));
        builder.Output("product", rows.MatMul(linear));
        builder.Output("gemm", builder.Op("Gemm", [rows, linear]));
        builder.Output("einsum", builder.Op("Einsum", [rows, linear], new() { ["equation"] = "nk,kc->nc" }));

        var open = ModelDescription.Of(builder.ToModel());
        Assert.Equal(3 * 30, open.Macs);
        Assert.Contains("Conv", Assert.Single(open.UncountedNodes));
        Assert.Equal("[1, 4, H, W]", open.Inputs[0].Value.Shape!.ToString());

        var closed = ModelDescription.Of(
            builder.ToModel(), new Dictionary<string, Shape> { ["picture"] = [2, 4, 10, 7], ["rows"] = [3, 6] });
        Assert.Empty(closed.UncountedNodes);
        Assert.Equal((3 * 3 * 30) + (2 * 8 * 10 * 7 * 2 * 9), closed.Macs);
        Assert.Equal(174, closed.ParameterCount);
        Assert.Equal(["conv", "fc"], closed.Parameters.Select(group => group.Module));
        Assert.Equal("[2, 8, 10, 7]", closed.Outputs[0].Value.Shape!.ToString());

        Assert.Contains("'rows' takes [N, 6], not [3, 7]", Assert.Throws<InvalidDataException>(() => ModelDescription.Of(
            builder.ToModel(), new Dictionary<string, Shape> { ["rows"] = [3, 7] })).Message);
    }

    [Fact]
    public void Definitions_of_operators_are_counted_and_kernels_known()
    {
        var description = ModelDescription.Of(ImageClassifiers.Find("biformer_nano").Build(new RandomWeights(0), 28, 28));
        var attention = Assert.Single(description.Operators, use => use.OpType == nameof(BiLevelRoutingAttention));
        Assert.Equal(AttentionOp.Domain, attention.Domain);
        Assert.True(attention.HasCpuKernel && attention.HasCudaKernel);
        Assert.InRange(attention.Macs, 1, description.Macs);
        Assert.False(Assert.Single(description.Operators, use => use.OpType == "MatMul").HasCpuKernel);
    }

    [Fact]
    public void Shapes_that_contradict_each_other_are_refused()
    {
        var graph = new Graph();
        graph.Inputs.Add("x");
        graph.Values["x"] = new(TensorElementType.Float, [1, 3]);
        graph.Initializers["w"] = Tensor.Create<float>(new float[8], 4, 2);
        graph.Nodes.Add(new() { OpType = "MatMul", Inputs = ["x", "w"], Outputs = ["y"] });
        graph.Outputs.Add("y");
        Assert.Contains("3 columns against 4 rows",
            Assert.Throws<InvalidDataException>(() => ModelDescription.Of(new() { Graph = graph })).Message);
    }
}
