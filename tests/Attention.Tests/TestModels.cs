using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Tests;

/// <summary>Small models whose outputs a test can compute in its head.</summary>
internal static class TestModels
{
    /// <summary>double = 2x of shape [rows, width], sum = the sum of x of shape [rows].</summary>
    public static byte[] DoubleAndSum(Dim rows, Dim width)
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", TensorElementType.Float, Shape.Create([rows, width]));
        graph.Output("double", x * 2);
        graph.Output("sum", x.ReduceSum([1]));
        return graph.ToModel().ToBytes();
    }

    /// <summary>product = a * b, with a of shape [rows, width] and b of shape [rows].</summary>
    public static byte[] Product()
    {
        var graph = new GraphBuilder();
        var a = graph.Input("a", TensorElementType.Float, Shape.Create(["N", 2]));
        var b = graph.Input("b", TensorElementType.Float, Shape.Create(["N"]));
        graph.Output("product", a * b.Unsqueeze(1));
        return graph.ToModel().ToBytes();
    }

    /// <summary>Half precision in and out: double = 2x.</summary>
    public static byte[] HalfDouble()
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", TensorElementType.Float16, Shape.Create(["N", 4]));
        graph.Output("double", x + x);
        return graph.ToModel().ToBytes();
    }

    /// <summary>logits = x, of three classes.</summary>
    public static byte[] Classifier()
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", 3]));
        graph.Output("logits", x + 0);
        return graph.ToModel().ToBytes();
    }

    /// <summary>A chain of matrix products that takes long enough to be interrupted.</summary>
    public static byte[] Slow(int width, int layers)
    {
        var graph = new GraphBuilder();
        var weight = graph.Initializer("weight", Onnx.Tensor.Create<float>(new float[width * width], width, width));
        var x = graph.Input("x", TensorElementType.Float, Shape.Create(["N", width]));
        for (int i = 0; i < layers; i++)
            x = x.MatMul(weight);
        graph.Output("y", x);
        return graph.ToModel().ToBytes();
    }
}
