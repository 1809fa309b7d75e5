using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Reverse-mode automatic differentiation from graph to graph.</summary>
internal static class Backward
{
    /// <summary>
    /// Replaces calls of functions by their bodies, unless the operator brings a gradient of its own, and computed sizes by constants.
    /// The graph's sizes have to be known.
    /// </summary>
    public static void Prepare(Graph graph, IReadOnlyList<Function> functions)
    {
        Function[] all = [.. functions, .. AttentionOps.All.Select(op => op.Function)];
        Inliner.Inline(graph, all, node => AttentionOps.Find(node) is not { HasGradient: true });
        ShapeInference.Infer(graph);
        GraphSimplifier.Fold(graph);
    }

    /// <summary>Adds to a prepared graph the gradients of a scalar with respect to values of it.</summary>
    /// <param name="loss">The scalar.</param>
    /// <param name="targets">The names of the values: inputs, initialisers or outputs of nodes.</param>
    /// <param name="scale">A scalar that all gradients are multiplied by; 1 if null.</param>
    /// <returns>The gradients by name; a value that the loss does not depend on has none.</returns>
    public static Dictionary<string, Value> Differentiate(Value loss, IEnumerable<string> targets, Value? scale = null)
    {
        var builder = loss.Builder;
        var nodes = builder.Graph.Nodes.ToArray();
        var active = new HashSet<string>(targets, StringComparer.Ordinal);
        foreach (var node in nodes.Where(node => node.Inputs.Exists(active.Contains)))
            active.UnionWith(node.Outputs.Where(output => output.Length > 0 && IsReal(builder.Graph.Info(output).Type)));

        var gradients = new Dictionary<string, Value>(StringComparer.Ordinal) { [loss.Name] = scale ?? builder.Scalar(1, loss) };
        foreach (var node in nodes.Reverse()
            .Where(node => node.Inputs.Exists(active.Contains) && node.Outputs.Exists(gradients.ContainsKey)))
        {
            using var scope = builder.Scope("grad/" + node.Name);
            var outputGradients = node.Outputs.ConvertAll(gradients.GetValueOrDefault);
            var inputGradients = Gradients.Of(new NodeGradient(builder, node, outputGradients, active));
            for (var i = 0; i < inputGradients.Length; i++)
            {
                if (inputGradients[i] is { } gradient && active.Contains(node.Inputs[i]))
                    gradients[node.Inputs[i]] = gradients.TryGetValue(node.Inputs[i], out var other) ? other + gradient : gradient;
            }
        }
        return gradients;
    }

    // A value of unknown type counts, so that a missing rule is an error and not a gradient that silently ends.
    private static bool IsReal(TensorElementType? type) =>
        type is null or TensorElementType.Float or TensorElementType.Double or TensorElementType.Float16 or TensorElementType.BFloat16;
}
