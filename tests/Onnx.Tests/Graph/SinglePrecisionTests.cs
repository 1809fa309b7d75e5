using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests;

public sealed class SinglePrecisionTests
{
    [Fact]
    public void ValuesBeyondHalfPrecisionStayFinite()
    {
        var builder = new GraphBuilder();
        var x = builder.Input("x", TensorElementType.Float16, ["N"]);
        var large = builder.Constant(Tensor.Create<Half>([(Half)300], 1));
        var y = (x * large).Cast(TensorElementType.Float).Cast(TensorElementType.Float16) * large;
        builder.Output("y", y);
        var half = builder.ToModel();

        var single = SinglePrecision.Convert(half);
        using var options = new SessionOptions();
        using var session = new InferenceSession(single.ToBytes(), options);
        using var input = OrtValue.CreateTensorValueFromMemory([1f, 2f], [2]);
        using var runOptions = new RunOptions();
        using var outputs = session.Run(runOptions, ["x"], [input], ["y"]);
        Assert.Equal([90_000f, 180_000f], outputs[0].GetTensorDataAsSpan<float>().ToArray());
        Assert.Equal(TensorElementType.Float16, half.Graph.Info("x").Type);
    }
}
