using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>Inferred types and shapes against what ONNX Runtime returns.</summary>
public class ShapeInferenceTests
{
    private static readonly Dictionary<string, Func<Value, Value>> Cases = new()
    {
        ["MatMul"] = x => x.MatMul(x.Transpose(0, 1, 3, 2)),
        ["MatMul with a vector"] = x => x.MatMul(x.Builder.Constant(RandomTensor.Float(1, 6))),
        ["broadcasting"] = x => x * x.Builder.Constant(RandomTensor.Float(1, 4, 1, 6)) + 1,
        ["Reshape with 0 and -1"] = x => x.Reshape(0, -1, 3),
        ["Reshape by computed sizes"] = x => x.Reshape(x.Builder.Concat(0, x.ShapeOf(0, 1), x.ShapeOf(1, 2) * x.ShapeOf(2, 3), x.ShapeOf(3))),
        ["Transpose"] = x => x.Transpose(3, 0, 2, 1),
        ["Slice"] = x => x.Slice(2, 1, -1).Slice(3, -1, int.MinValue, -2),
        ["Split"] = x => x.Split(1, 1, 3)[1],
        ["Concat"] = x => x.Builder.Concat(2, x, x),
        ["Pad"] = x => x.Pad(0, 0, 1, 2, 0, 0, 3, 4),
        ["Gather"] = x => x.Gather(x.Builder.Int64(0, 2), 1),
        ["Unsqueeze and Squeeze"] = x => x.Unsqueeze(1, -1).Squeeze(-1),
        ["ReduceMean"] = x => x.ReduceMean([1, -1]),
        ["ReduceSum keeping axes"] = x => x.ReduceSum([2], keepDims: true),
        ["Conv"] = x => x.Conv2d(x.Builder.Constant(RandomTensor.Float(1, 8, 2, 3, 3)), null, stride: 2, padding: 1, group: 2),
        ["MaxPool with ceil_mode"] = x => x.Builder.Op("MaxPool", [x], new()
        {
            ["kernel_shape"] = new[] { 2, 2 }, ["strides"] = new[] { 2, 2 }, ["ceil_mode"] = 1,
        }),
        ["AveragePool same"] = x => x.Builder.Op("AveragePool", [x], new()
        {
            ["kernel_shape"] = new[] { 3, 3 }, ["strides"] = new[] { 2, 2 }, ["auto_pad"] = "SAME_UPPER",
        }),
        ["ConvTranspose"] = x => x.Builder.Op("ConvTranspose", [x, x.Builder.Constant(RandomTensor.Float(1, 4, 3, 2, 3))], new()
        {
            ["strides"] = new[] { 2, 3 }, ["pads"] = new[] { 1, 0, 0, 1 }, ["output_padding"] = new[] { 1, 0 },
        }),
        ["TopK values"] = x => x.TopK(x.Builder.Int64(2)).Values,
        ["TopK indices"] = x => x.TopK(x.Builder.Int64(2), 1).Indices,
        ["Expand"] = x => x.ReduceSum([3], keepDims: true).Expand(x.ShapeOf()),
        ["Tile"] = x => x.Builder.Op("Tile", [x, x.Builder.Int64(1, 2, 1, 3)]),
        ["ArgMax"] = x => x.Builder.Op("ArgMax", [x], new() { ["axis"] = 1, ["keepdims"] = 0 }),
        ["Resize"] = x => x.Builder.Op("Resize", [x, null, x.Builder.Constant(Tensor.Create<float>([1, 1, 2, 1.5f], 4))]),
        ["Flatten"] = x => x.Builder.Op("Flatten", [x], new() { ["axis"] = 2 }),
        ["LayerNormalization"] = x => x.LayerNormalization(x.Builder.Constant(RandomTensor.Float(1, 6)), null, 1e-6f),
        ["Range"] = x => x.Builder.Op("Range", [
            x.Builder.Constant(Tensor.Scalar(5L)), x.ShapeOf(0, 1).Squeeze(0), x.Builder.Constant(Tensor.Scalar(-2L))]),
        ["Cast"] = x => x.Cast(TensorElementType.Int32),
        ["Where"] = x => x.Builder.Op("Greater", [x, x.Builder.Scalar(0, x)]).Where(x, x.Builder.Scalar(2, x)),
        ["OneHot"] = x => x.Builder.Op("OneHot", [
            x.Cast(TensorElementType.Int64), x.Builder.Int64(3), x.Builder.Constant(Tensor.Create<float>([0, 1], 2))]),
        ["SpaceToDepth"] = x => x.Slice(2, 0, 4).Builder.Op("SpaceToDepth", [x.Slice(2, 0, 4)], new() { ["blocksize"] = 2 }),
    };

    public static TheoryData<string> Names => [.. Cases.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Agrees_with_OnnxRuntime(string name)
    {
        var (model, output) = Build(name, 2);
        var actual = SessionRunner.Run(model, Inputs)["y"];
        Assert.Equal(actual.Shape.ToString(), output.Shape!.ToString());
        Assert.Equal(actual.Type, output.Type);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Keeps_a_symbolic_batch_or_admits_not_to_know(string name)
    {
        var (model, output) = Build(name, "N");
        var actual = SessionRunner.Run(model, Inputs)["y"];
        if (output.Shape is not { } shape)
            return;
        Assert.Equal(actual.Dims.Count, shape.Rank);
        for (var i = 0; i < shape.Rank; i++)
            Assert.True(shape[i].Symbol is "N" ? actual.Dims[i] == 2 : !shape[i].IsKnown || shape[i].Value == actual.Dims[i], $"{shape}, but {actual}");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Folding_leaves_the_result_as_it_is(string name)
    {
        var (model, _) = Build(name, "N");
        var before = SessionRunner.Run(model, Inputs)["y"];
        GraphSimplifier.FixSizes(model.Graph, new Dictionary<string, long> { ["N"] = 2 }, model.Functions);
        GraphSimplifier.Fold(model.Graph);
        var after = SessionRunner.Run(model, Inputs)["y"];
        Assert.Equal(before.Data.ToArray(), after.Data.ToArray());
        Assert.DoesNotContain(model.Graph.Nodes, node => node.OpType == "Shape");
    }

    [Fact]
    public void Errors_name_the_shapes()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float, ["N", 3, 8, 8]);
        Assert.Contains("12", Assert.Throws<InvalidOperationException>(
            () => x.Conv2d(builder.Constant(RandomTensor.Float(1, 4, 12, 3, 3)), null)).Message);
        Assert.Contains("[N, 3, 8, 8]", Assert.Throws<InvalidOperationException>(
            () => x + builder.Constant(RandomTensor.Float(1, 5))).Message);
        Assert.Contains("belongs to another graph", Assert.Throws<ArgumentException>(
            () => x + new GraphBuilder().Input("y", TensorElementType.Float, [1])).Message);
    }

    private static Dictionary<string, Tensor> Inputs => new() { ["x"] = RandomTensor.Float(3, 2, 4, 5, 6) };

    private static (OnnxModel Model, ValueInfo Output) Build(string name, Dim batch)
    {
        var builder = new GraphBuilder();
        builder.Output("y", Cases[name](builder.Input("x", TensorElementType.Float, [batch, 4, 5, 6])));
        return (builder.ToModel(), builder.Graph.Info("y"));
    }
}
