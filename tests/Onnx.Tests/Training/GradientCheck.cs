using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

/// <summary>
/// Checks gradient rules: in double precision the backward graph's gradients equal central differences of the forward graph, and in
/// single precision ONNX Runtime computes the same from both graphs.
/// </summary>
internal static class GradientCheck
{
    // Of larger inputs only some elements are checked against differences; all are compared with ONNX Runtime.
    private const int MostElements = 24;

    /// <param name="build">Builds the outputs from the inputs.</param>
    /// <param name="inputs">The inputs; all get gradients except those of integers.</param>
    /// <param name="onnxRuntime">Whether ONNX Runtime has the kernels that the graphs need.</param>
    public static void Verify(Func<Value[], Value[]> build, ReferenceArray[] inputs, bool onnxRuntime = true)
    {
        var named = inputs.Select((input, i) => (input, i)).ToDictionary(pair => $"x{pair.i}", pair => pair.input);
        var model = Build(build, inputs, TensorElementType.Double);
        var results = ReferenceEvaluator.Run(ReferenceEvaluator.Expand(model), named);
        var forward = Forward(model);
        foreach (var (name, input) in named.Where(pair => !pair.Value.IsInteger))
        {
            var gradient = results["grad_" + name];
            Assert.Equal(input.Dims, gradient.Dims);
            for (var i = 0; i < input.Data.Length; i += 1 + (input.Data.Length / MostElements))
            {
                var expected = CentralDifference(forward, named, name, i);
                Assert.True(Math.Abs(expected - gradient.Data[i]) <= 1e-6 * Math.Max(1, Math.Abs(expected)),
                    $"gradient of {name}[{i}] is {gradient.Data[i]}, central differences say {expected}");
            }
        }
        if (onnxRuntime)
            CompareWithOnnxRuntime(Build(build, inputs, TensorElementType.Float), named, results);
    }

    public static ReferenceArray Random(int seed, params int[] dims) => Uniform(seed, -1, 1, dims);

    public static ReferenceArray Uniform(int seed, double low, double high, params int[] dims)
    {
        var random = new Random(seed);
        return ReferenceArray.Build(dims, TensorElementType.Double, _ => (float)(low + ((high - low) * random.NextDouble())));
    }

    public static ReferenceArray Integers(int[] dims, params int[] values) =>
        new(Array.ConvertAll(values, x => (double)x), dims, TensorElementType.Int64);

    // The loss is the sum of all outputs, each element with a weight of its own.
    private static OnnxModel Build(Func<Value[], Value[]> build, ReferenceArray[] inputs, TensorElementType type)
    {
        var builder = new GraphBuilder();
        var values = inputs.Select((input, i) =>
            builder.Input($"x{i}", input.IsInteger ? input.Type : type, Shape.Of([.. input.Dims.Select(dim => (long)dim)]))).ToArray();
        var outputs = build(values);
        Value? loss = null;
        for (var i = 0; i < outputs.Length; i++)
        {
            builder.Output($"y{i}", outputs[i]);
            var weights = Random(100 + i, [.. outputs[i].Shape.ToArray().Select(size => (int)size)]);
            var dims = outputs[i].Shape.ToArray();
            var weight = builder.Initializer($"weight{i}", type == TensorElementType.Double
                ? Tensor.Create<double>(weights.Data, dims)
                : Tensor.Create<float>(Array.ConvertAll(weights.Data, x => (float)x), dims));
            var sum = (outputs[i] * weight).ReduceSum([.. Enumerable.Range(0, dims.Length).Select(axis => (long)axis)]);
            loss = loss is null ? sum : loss + sum;
        }
        builder.Output("loss", loss!);
        var model = builder.ToModel();
        Backward.Prepare(builder.Graph, model.Functions);

        var backward = new GraphBuilder(builder.Graph);
        var targets = values.Where((_, i) => !inputs[i].IsInteger).Select(value => value.Name).ToArray();
        var gradients = Backward.Differentiate(backward["loss"], targets);
        foreach (var name in targets)
            backward.Output("grad_" + name, gradients[name]);
        GraphSimplifier.RemoveUnused(builder.Graph);
        return backward.ToModel();
    }

    private static double CentralDifference(Graph forward, Dictionary<string, ReferenceArray> inputs, string name, int element)
    {
        const double Step = 1e-5;
        return (Loss(Step) - Loss(-Step)) / (2 * Step);

        double Loss(double change)
        {
            var data = (double[])inputs[name].Data.Clone();
            data[element] += change;
            var moved = new Dictionary<string, ReferenceArray>(inputs) { [name] = inputs[name] with { Data = data } };
            return ReferenceEvaluator.Run(forward, moved)["loss"].Data[0];
        }
    }

    private static Graph Forward(OnnxModel model)
    {
        var graph = ReferenceEvaluator.Expand(model);
        graph.Outputs.RemoveAll(name => name != "loss");
        GraphSimplifier.RemoveUnused(graph);
        return graph;
    }

    private static void CompareWithOnnxRuntime(
        OnnxModel model, Dictionary<string, ReferenceArray> inputs, Dictionary<string, ReferenceArray> expected)
    {
        var tensors = inputs.ToDictionary(pair => pair.Key, pair => pair.Value.IsInteger
            ? Tensor.Create<long>(Array.ConvertAll(pair.Value.Data, x => (long)x), [.. pair.Value.Dims.Select(dim => (long)dim)])
            : Tensor.Create<float>(Array.ConvertAll(pair.Value.Data, x => (float)x), [.. pair.Value.Dims.Select(dim => (long)dim)]));
        foreach (var (name, tensor) in SessionRunner.Run(model, tensors))
        {
            var actual = ReferenceArray.Of(tensor);
            Assert.Equal(expected[name].Dims, actual.Dims);
            var scale = Math.Max(1, expected[name].Data.Select(Math.Abs).DefaultIfEmpty().Max());
            for (var i = 0; i < actual.Data.Length; i++)
                Assert.True(Math.Abs(actual.Data[i] - expected[name].Data[i]) <= 2e-5 * scale,
                    $"ONNX Runtime computes {actual.Data[i]} for {name}[{i}], the reference is {expected[name].Data[i]}");
        }
    }
}
