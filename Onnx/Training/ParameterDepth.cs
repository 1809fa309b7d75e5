namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>How far from the input a graph uses its parameters: the depth for layer-wise learning rates where no architecture tells it.</summary>
internal static class ParameterDepth
{
    /// <summary>
    /// The depth of each initialiser, from 0 to <paramref name="layers"/> - 1: the longest path of nodes from an input to the first node
    /// that the initialiser takes part in, as a share of the longest path of all.
    /// </summary>
    public static IReadOnlyDictionary<string, int> Of(Graph graph, int layers)
    {
        var depths = graph.Inputs.ToDictionary(name => name, _ => 0, StringComparer.Ordinal);
        foreach (var node in graph.Nodes)
        {
            var inputs = node.Inputs.Where(depths.ContainsKey).ToArray();
            foreach (var output in inputs.Length > 0 ? node.Outputs : [])
                depths[output] = inputs.Max(name => depths[name]) + 1;
        }

        var deepest = depths.Values.DefaultIfEmpty(0).Max();
        var firstUses = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var node in Enumerable.Reverse(graph.Nodes))
        {
            var use = depths.TryGetValue(node.Outputs[0], out var depth) ? depth : firstUses.GetValueOrDefault(node.Outputs[0], deepest);
            foreach (var input in node.Inputs)
                firstUses[input] = Math.Min(use, firstUses.GetValueOrDefault(input, deepest));
        }
        return graph.Initializers.Keys.ToDictionary(
            name => name, name => (int)((firstUses.GetValueOrDefault(name, 1) - 1L) * layers / Math.Max(deepest, 1)));
    }
}
