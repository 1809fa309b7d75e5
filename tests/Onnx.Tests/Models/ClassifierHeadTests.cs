using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Onnx.Tests.Models;

public sealed class ClassifierHeadTests
{
    private static readonly RandomWeights Fresh = new(5);

    /// <summary>The ends of exported classifiers: from a feature map [N, 6, 4, 4] to seven classes.</summary>
    public static TheoryData<string> Ends() => ["gemm", "gemm-plain", "matmul", "transposed", "convolution", "squeezenet"];

    [Theory]
    [MemberData(nameof(Ends))]
    public void GivesTheLogitsOfTheNewClasses(string end)
    {
        var model = Classifier(end);
        var replaced = ClassifierHead.Replace(model, 3, Fresh);

        Assert.Equal([5, 3], Run(replaced, 5));
        Assert.Equal([2, 7], Run(model, 2));
        Assert.Equal(model.Graph.Initializers["backbone"].Data.ToArray(), replaced.Graph.Initializers["backbone"].Data.ToArray());
        Assert.DoesNotContain(replaced.Graph.Nodes, node => node.OpType is "Softmax" or "LogSoftmax");
        var changed = replaced.Graph.Initializers.Where(pair => !pair.Value.Dims.SequenceEqual(model.Graph.Initializers[pair.Key].Dims));
        Assert.Contains(changed, pair => pair.Value.AsSpan<float>().ToArray().Any(value => value != 0));
    }

    [Fact]
    public void AnArchitecturesOwnFileWorksLikewise()
    {
        var config = ImageClassifiers.Find("biformer_nano") with { ClassCount = 7 };
        var model = OnnxModel.Load(config.Build(Fresh, 28, 28).ToBytes());
        Assert.Equal([2, 4], Run(ClassifierHead.Replace(model, 4, Fresh), 2, 28));
    }

    [Fact]
    public void WhatIsNotAClassifierIsRefusedWithWhatItHas()
    {
        Assert.Contains("Sigmoid(", Refused(Classifier("sigmoid")));
        Assert.Contains("'image' of Float [N, 1, 4, 4]", Refused(Classifier("gemm", channels: 1)));
        var two = Classifier("gemm");
        two.Graph.Outputs.Add(two.Graph.Nodes[0].Outputs[0]);
        Assert.Contains("has one output; this model has", Refused(two));
    }

    [Fact]
    public void AFixedBatchIsOpenedWhereTheGraphAllows()
    {
        var model = Classifier("gemm", batch: 1);
        Assert.Equal([5, 3], Run(ClassifierHead.Replace(model, 3, Fresh), 5));
    }

    [Fact]
    public void DepthRisesFromTheStemToTheHead()
    {
        var depths = ParameterDepth.Of(Classifier("transposed").Graph, layers: 12);
        Assert.Equal(0, depths["backbone"]);
        Assert.InRange(depths["head.weight"], 6, 11);
        Assert.InRange(depths["head.bias"], depths["head.weight"], 11);
    }

    private static string Refused(OnnxModel model) =>
        Assert.Throws<NotSupportedException>(() => ClassifierHead.Replace(model, 3, Fresh)).Message;

    private static OnnxModel Classifier(string end, int channels = 3, Dim? batch = null)
    {
        var graph = new GraphBuilder();
        Value Parameter(string name, params long[] dims) =>
            graph.Initializer(name, new RandomWeights(1).Find(name, dims, Initialization.Uniform(1)));
        Value Pooled(Value map) => map.ReduceMean([2, 3]);
        var map = graph.Input("image", TensorElementType.Float, Shape.Create([batch ?? "N", channels, 4, 4]))
            .Conv2d(Parameter("backbone", 6, channels, 3, 3), null, padding: 1).Apply("Relu");
        graph.Output("output", end switch
        {
            "gemm" => graph.Op("Gemm", [Pooled(map), Parameter("head.weight", 7, 6), Parameter("head.bias", 7)], new() { ["transB"] = 1 })
                .Softmax(),
            "gemm-plain" => graph.Op("Gemm", [Pooled(map), Parameter("head.weight", 6, 7)]),
            "matmul" => (Parameter("head.bias", 7) + Pooled(map).MatMul(Parameter("head.weight", 6, 7))).LogSoftmax(),
            "transposed" => Pooled(map).MatMul(Parameter("head.weight", 7, 6).Transpose(1, 0)) + Parameter("head.bias", 7),
            "convolution" => map.ReduceMean([2, 3], keepDims: true)
                .Conv2d(Parameter("head.weight", 7, 6, 1, 1), Parameter("head.bias", 7)).Reshape(-1, 7),
            "squeezenet" => graph.Op("Flatten", [graph.Op("GlobalAveragePool",
                [map.Conv2d(Parameter("head.weight", 7, 6, 1, 1), Parameter("head.bias", 7)).Apply("Relu")])]).Softmax(),
            _ => Pooled(map).MatMul(Parameter("head.weight", 6, 7)).Apply("Sigmoid"),
        });
        return graph.ToModel();
    }

    private static long[] Run(OnnxModel model, int count, int side = 4)
    {
        using var session = new InferenceSession(model.ToBytes());
        using var images = OrtValue.CreateTensorValueFromMemory(new float[count * 3 * side * side], [count, 3, side, side]);
        using var options = new RunOptions();
        using var outputs = session.Run(options, [model.Graph.Inputs[0]], [images], [model.Graph.Outputs[0]]);
        return outputs[0].GetTensorTypeAndShape().Shape;
    }
}
