using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Benchmarks;

/// <summary>A model to score, with an input "x" of shape [N, ...] and an output of shape [N, classes].</summary>
internal sealed record BenchmarkModel(string Name, int[] RowShape, byte[] Bytes, string OutputName = "scores")
{
    public int RowLength => RowShape.Aggregate((a, b) => a * b);

    public static IEnumerable<BenchmarkModel> All()
    {
        yield return Mlp();
        yield return DigitNet();
        yield return ConvNet();
        yield return BiFormerNano();
    }

    /// <summary>32 features, two hidden layers of 64, 8 classes.</summary>
    public static BenchmarkModel Mlp()
    {
        var graph = new GraphBuilder();
        var random = new Random(1);
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", 32]));
        var hidden = Dense(Dense(x, 32, 64).Apply("Relu"), 64, 64).Apply("Relu");
        graph.Output("scores", Dense(hidden, 64, 8));
        return new("MLP 32-64-64-8", [32], graph.ToModel().ToBytes());

        Value Dense(Value input, int from, int to) => input.MatMul(Weights(graph, random, from, to)) + Weights(graph, random, to);
    }

    /// <summary>Digits of [1, 28, 28]; two strided convolutions of 8 and 16 channels, average pooling, 10 classes.</summary>
    public static BenchmarkModel DigitNet()
    {
        var graph = new GraphBuilder();
        var random = new Random(1);
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", 1, 28, 28]));
        var features = x.Conv2d(Weights(graph, random, 8, 1, 3, 3), null, stride: 2, padding: 1).Apply("Relu");
        features = features.Conv2d(Weights(graph, random, 16, 8, 3, 3), null, stride: 2, padding: 1).Apply("Relu");
        graph.Output("scores", features.ReduceMean([2, 3]).MatMul(Weights(graph, random, 16, 10)));
        return new("digit net 1x28x28", [1, 28, 28], graph.ToModel().ToBytes());
    }

    /// <summary>Pictures of [3, 32, 32]; three convolutions, average pooling, 10 classes.</summary>
    public static BenchmarkModel ConvNet()
    {
        var graph = new GraphBuilder();
        var random = new Random(1);
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3, 32, 32]));
        var features = x.Conv2d(Weights(graph, random, 16, 3, 3, 3), null, stride: 2, padding: 1).Apply("Relu");
        features = features.Conv2d(Weights(graph, random, 32, 16, 3, 3), null, stride: 2, padding: 1).Apply("Relu");
        features = features.Conv2d(Weights(graph, random, 64, 32, 3, 3), null, stride: 2, padding: 1).Apply("Relu");
        graph.Output("scores", features.ReduceMean([2, 3]).MatMul(Weights(graph, random, 64, 10)));
        return new("conv net 3x32x32", [3, 32, 32], graph.ToModel().ToBytes());
    }

    /// <summary>Our small BiFormer for pictures of [1, 28, 28] and 10 classes.</summary>
    public static BenchmarkModel BiFormerNano()
    {
        var config = BiFormer.Variants["biformer_nano"] with { InputChannels = 1, ClassCount = 10 };
        return new("biformer_nano 1x28x28", [1, 28, 28], BiFormer.Build(config, new RandomWeights(1), 28, 28).ToBytes(), "logits");
    }

    private static Value Weights(GraphBuilder graph, Random random, params long[] shape)
    {
        float[] values = new float[shape.Aggregate((a, b) => a * b)];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(random.NextDouble() - 0.5) / 4;
        return graph.Constant(Microsoft.ML.Attention.Onnx.Tensor.Create<float>(values, shape));
    }
}
