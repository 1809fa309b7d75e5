using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Onnx.Tests.Models;

/// <summary>Whether a model can be trained.</summary>
internal static class ParameterGradients
{
    /// <summary>Every parameter of a model has a finite gradient that is not all 0.</summary>
    /// <param name="model">The model, of input <c>x</c>.</param>
    /// <param name="image">The input.</param>
    /// <param name="output">The output whose mean square is differentiated.</param>
    public static void AssertAll(OnnxModel model, Tensor image, string output = "logits") =>
        AssertAll(model, new Dictionary<string, Tensor> { ["x"] = image }, output);

    /// <summary>Every parameter of a model has a finite gradient that is not all 0.</summary>
    /// <param name="model">The model.</param>
    /// <param name="inputs">Its inputs, all of the same number N of examples.</param>
    /// <param name="output">The output whose mean square is differentiated.</param>
    /// <param name="isTrained">Which parameters are meant; all if null.</param>
    public static void AssertAll(
        OnnxModel model, IReadOnlyDictionary<string, Tensor> inputs, string output = "logits", Predicate<string>? isTrained = null)
    {
        var graph = model.Graph;
        var parameters = graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)
            && !pair.Key.Contains(".running_", StringComparison.Ordinal) && isTrained?.Invoke(pair.Key) != false)
            .Select(pair => pair.Key).ToArray();
        GraphSimplifier.FixSizes(graph, new Dictionary<string, long> { ["N"] = inputs.Values.First().Dims[0] }, model.Functions);
        Backward.Prepare(graph, model.Functions);
        var builder = new GraphBuilder(graph);
        var values = builder[output];
        var loss = (values * values).ReduceMean([.. Enumerable.Range(0, values.Shape.Rank).Select(axis => (long)axis)]);
        var gradients = Backward.Differentiate(loss, parameters);
        Assert.Equal(parameters.Order(), gradients.Keys.Intersect(parameters).Order());
        foreach (var parameter in parameters)
            builder.Output("gradient of " + parameter, gradients[parameter]);

        var outputs = SessionRunner.Run(builder.ToModel(), inputs);

        foreach (var parameter in parameters)
        {
            var gradient = outputs["gradient of " + parameter];
            Assert.Equal(graph.Initializers[parameter].Dims, gradient.Dims);
            Assert.All(gradient.AsSpan<float>().ToArray(), value => Assert.True(float.IsFinite(value)));
            Assert.Contains(gradient.AsSpan<float>().ToArray(), value => value != 0);
        }
    }
}
