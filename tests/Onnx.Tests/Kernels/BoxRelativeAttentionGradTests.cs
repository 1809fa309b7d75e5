using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>The gradient of box-relative attention against differences of its output.</summary>
public class BoxRelativeAttentionGradTests
{
    private const float Step = 1e-2f;

    private static readonly (string Name, long[] Dims)[] Inputs =
    [
        ("query", [2, 5, 8]), ("key", [2, 12, 8]), ("value", [2, 12, 8]), ("columns", [2, 5, 4, 2]), ("rows", [2, 5, 3, 2]),
    ];

    [Theory]
    [InlineData("query")]
    [InlineData("key")]
    [InlineData("value")]
    [InlineData("columns")]
    [InlineData("rows")]
    public void It_is_the_slope_of_the_output(string name)
    {
        var model = Build();
        var values = Inputs.Select((input, i) => (input.Name, Tensor: RandomTensor.Float(i + 1, input.Dims)))
            .ToDictionary(input => input.Name, input => input.Tensor);
        var direction = RandomTensor.Float(17, [.. values[name].Dims]).AsSpan<float>().ToArray();
        var gradient = Run(model, values)["grad_" + name].AsSpan<float>().ToArray();
        var expected = gradient.Zip(direction, (x, y) => (double)x * y).Sum();

        var actual = (Loss(Step) - Loss(-Step)) / (2 * Step);
        Assert.True(Math.Abs(expected - actual) <= 5e-3 * Math.Max(1, Math.Abs(expected)), $"{expected}, differences say {actual}");

        double Loss(float step)
        {
            var moved = values[name].AsSpan<float>().ToArray().Zip(direction, (x, y) => x + (step * y)).ToArray();
            var all = new Dictionary<string, Tensor>(values) { [name] = Tensor.Create<float>(moved, [.. values[name].Dims]) };
            return Run(model, all)["loss"].AsSpan<float>()[0];
        }
    }

    private static Dictionary<string, Tensor> Run(OnnxModel model, Dictionary<string, Tensor> values)
    {
        using var options = new SessionOptions();
        KernelLibrary.Register(options);
        return SessionRunner.Run(model, values, options);
    }

    // The second map has two rows and three columns that are no padding.
    private static OnnxModel Build()
    {
        var builder = new GraphBuilder();
        var inputs = Inputs.Select(input => builder.Input(input.Name, TensorElementType.Float, Shape.Of(input.Dims))).ToArray();
        var extent = builder.Constant(Tensor.Create<long>([3, 4, 2, 3], 2, 2));
        var output = BoxRelativeAttention.Apply(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], extent, headCount: 2);
        var weights = builder.Constant(RandomTensor.Float(9, 2, 5, 8));
        var loss = (output * weights).ReduceSum([0, 1, 2]);
        builder.Output("loss", loss);
        var gradients = Backward.Differentiate(loss, Inputs.Select(input => input.Name));
        foreach (var (name, _) in Inputs)
            builder.Output("grad_" + name, gradients[name]);
        return builder.ToModel();
    }
}
