using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The gradient of self-calibrated cross attention, of the kernels and of the definition, against differences of its output.</summary>
public class SelfCalibratedCrossAttentionGradTests
{
    private const float Step = 1e-2f;

    private static readonly (string Name, long[] Dims)[] Inputs = [("packed", [2, 3, 5, 24]), ("support", [1, 4, 6, 16])];

    [Theory]
    [InlineData("packed", true)]
    [InlineData("packed", false)]
    [InlineData("support", true)]
    [InlineData("support", false)]
    public void It_is_the_slope_of_the_output(string name, bool withKernels)
    {
        var model = Build();
        var values = Inputs.Select((input, i) => (input.Name, Tensor: RandomTensor.Float(i + 1, input.Dims)))
            .ToDictionary(input => input.Name, input => input.Tensor);
        var direction = RandomTensor.Float(17, [.. values[name].Dims]).AsSpan<float>().ToArray();
        var gradient = Run(model, values, withKernels)["grad_" + name].AsSpan<float>().ToArray();
        var expected = gradient.Zip(direction, (x, y) => (double)x * y).Sum();

        var actual = (Loss(Step) - Loss(-Step)) / (2 * Step);
        Assert.True(Math.Abs(expected - actual) <= 5e-3 * Math.Max(1, Math.Abs(expected)), $"{expected}, differences say {actual}");

        double Loss(float step)
        {
            var moved = values[name].AsSpan<float>().ToArray().Zip(direction, (x, y) => x + (step * y)).ToArray();
            var all = new Dictionary<string, Tensor>(values) { [name] = Tensor.Create<float>(moved, [.. values[name].Dims]) };
            return Run(model, all, withKernels)["loss"].AsSpan<float>()[0];
        }
    }

    [Fact]
    public void An_index_beyond_the_support_is_refused()
    {
        var builder = new GraphBuilder();
        var packed = builder.Input("packed", TensorElementType.Float, [1, 2, 4, 12]);
        var support = builder.Input("support", TensorElementType.Float, [1, 3, 4, 8]);
        var index = builder.Constant(Tensor.Create<long>([2, 3], 1, 2));
        builder.Output("y", SelfCalibratedCrossAttention.Apply(packed, support, index, headCount: 1));
        var inputs = new Dictionary<string, Tensor>
        {
            ["packed"] = RandomTensor.Float(1, 1, 2, 4, 12), ["support"] = RandomTensor.Float(2, 1, 3, 4, 8),
        };
        var error = Assert.Throws<OnnxRuntimeException>(() => Run(builder.ToModel(), inputs, withKernels: true));
        Assert.Contains("input 'index' has 3, expected 0 to below the 3 windows of the support", error.Message);
    }

    private static Dictionary<string, Tensor> Run(OnnxModel model, Dictionary<string, Tensor> values, bool withKernels)
    {
        using var options = new SessionOptions();
        if (withKernels)
            KernelLibrary.Register(options);
        return SessionRunner.Run(model, values, options);
    }

    private static OnnxModel Build()
    {
        var builder = new GraphBuilder();
        var inputs = Inputs.Select(input => builder.Input(input.Name, TensorElementType.Float, Shape.Of(input.Dims))).ToArray();
        var index = builder.Constant(Tensor.Create<long>([3, 0, 3, 1, 3, 3], 2, 3));
        var output = SelfCalibratedCrossAttention.Apply(inputs[0], inputs[1], index, headCount: 2);
        var loss = (output * builder.Constant(RandomTensor.Float(9, 2, 3, 5, 8))).ReduceSum([0, 1, 2, 3]);
        builder.Output("loss", loss);
        var gradients = Backward.Differentiate(loss, Inputs.Select(input => input.Name));
        foreach (var (name, _) in Inputs)
            builder.Output("grad_" + name, gradients[name]);
        return builder.ToModel();
    }
}
