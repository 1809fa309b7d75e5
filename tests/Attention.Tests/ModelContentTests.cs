using Microsoft.ML.Attention.Onnx;

namespace Microsoft.ML.Attention.Tests;

public class ModelContentTests
{
    [Fact]
    public void AModelMadeFromAFileIsConvertedAsItIsNotAsTheFileIs()
    {
        using var file = new TemporaryFile(".onnx");
        File.WriteAllBytes(file.Path, TestModels.DoubleAndSum("N", 4));
        var rewritten = new ModelContent(TestModels.Product(), file.Path);

        Assert.Equal(["product"], OnnxModel.Load(rewritten.InHalf().Bytes.Span).Graph.Outputs);
        Assert.Equal(["product"], OnnxModel.Load(rewritten.ToFile()).Graph.Outputs);
    }

    [Fact]
    public void WeightsBesideAFileBecomePartOfTheConvertedModel()
    {
        using var file = new TemporaryFile(".onnx");
        var graph = new GraphBuilder();
        var x = graph.Input("x", OnnxRuntime.Tensors.TensorElementType.Float, ["N", 2]);
        graph.Output("y", x.MatMul(graph.Initializer("w", Tensor.Create<float>([1, 2, 3, 4], 2, 2))));
        graph.ToModel().Save(file.Path, externalDataThreshold: 1);
        var content = ModelContent.FromFile(file.Path);

        Assert.Equal([1f, 2, 3, 4], OnnxModel.Load(content.ToFile()).Graph.Initializers["w"].AsSpan<float>().ToArray());
        Assert.Equal(["y"], OnnxModel.Load(content.InHalf().Bytes.Span).Graph.Outputs);
        File.Delete(file.Path + ".data");
    }
}
