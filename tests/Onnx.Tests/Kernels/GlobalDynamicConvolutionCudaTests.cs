using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The float16 kernel of global dynamic convolution on CUDA against the definition in float32.</summary>
public sealed class GlobalDynamicConvolutionCudaTests
{
    [Theory]
    [InlineData(2, 32, 10, 16, 6)]
    [InlineData(2, 256, 20, 32, 160)]
    [InlineData(3, 7, 11, 13, 5)]
    [InlineData(1, 200, 9, 31, 300)]
    public void HalfEqualsTheDefinition(int batch, int channels, int height, int width, int tokens)
    {
        CudaSession.SkipWithoutGpu();
        long[][] dims =
            [[batch, channels, height, width], [batch, channels, height, width], [batch, tokens, channels], [channels, tokens], [1], [channels]];
        var inputs = dims.Select((size, i) => ($"x{i}", RandomTensor.Float(i + 1, size))).ToDictionary();
        using var options = new SessionOptions();
        CudaSession.Register(options);

        var expected = SessionRunner.Run(Model(dims, TensorElementType.Float), inputs)["y"].AsSpan<float>().ToArray();
        var actual = SessionRunner.Run(Model(dims, TensorElementType.Float16), inputs, options)["y"].AsSpan<float>().ToArray();

        var scale = expected.Max(Math.Abs);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 5e-3f * scale);
    }

    private static OnnxModel Model(long[][] dims, TensorElementType type)
    {
        var builder = new GraphBuilder();
        var x = dims.Select((size, i) => builder.Input($"x{i}", TensorElementType.Float, Shape.Of(size)).Cast(type)).ToArray();
        builder.Output("y", GlobalDynamicConvolution.Apply(x[0], x[1], x[2], x[3], x[4], x[5]).Cast(TensorElementType.Float));
        return builder.ToModel();
    }
}
