using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Rewrites that leave what a graph computes as it is.</summary>
internal static class GraphSimplifier
{
    /// <summary>Gives symbolic dimensions of the inputs their sizes and infers the graph anew.</summary>
    public static void FixSizes(Graph graph, IReadOnlyDictionary<string, long> sizes, IReadOnlyList<Function> functions)
    {
        foreach (var input in graph.Inputs)
        {
            if (graph.Info(input) is { Shape: { } shape } info)
            {
                graph.Values[input] = info with
                {
                    Shape = [.. shape.Select(dim => dim.Symbol is { } symbol && sizes.TryGetValue(symbol, out var size) ? size : dim)],
                };
            }
        }
        ShapeInference.Infer(graph, functions);
    }

    /// <summary>
    /// Replaces integer values whose content is known (computed sizes, axes, indices) by constants, and passes Identity nodes by.
    /// </summary>
    public static void Fold(Graph graph)
    {
        var aliases = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var node = graph.Nodes[i];
            for (var input = 0; input < node.Inputs.Count; input++)
                node.Inputs[input] = aliases.GetValueOrDefault(node.Inputs[input], node.Inputs[input]);
            var output = node.Outputs[0];
            if (graph.Outputs.Contains(output))
                continue;
            if (node is { OpType: "Identity", Domain: "" })
            {
                aliases[output] = node.Inputs[0];
                graph.Nodes.RemoveAt(i--);
            }
            else if (node is { OpType: "Constant", Domain: "" } && node.Attributes.Contains("value"))
            {
                graph.Initializers[output] = (Tensor)node.Attributes["value"];
                graph.Nodes.RemoveAt(i--);
            }
            else if (node.Outputs.Count == 1 && graph.Info(output) is { Content: { IsStatic: true } content } info)
            {
                graph.Initializers[output] = info.Type == TensorElementType.Int32
                    ? Tensor.Create<int>(Array.ConvertAll(content.ToArray(), value => (int)value), info.Shape!.ToArray())
                    : Tensor.Create<long>(content.ToArray(), info.Shape!.ToArray());
                graph.Nodes.RemoveAt(i--);
            }
        }
        RemoveUnused(graph);
    }

    /// <summary>Gives initialisers the sizes that Reshape nodes give them.</summary>
    public static void FoldReshapes(Graph graph)
    {
        foreach (var node in graph.Nodes.Where(node => node is { OpType: "Reshape", Domain: "" }).ToArray())
        {
            var output = node.Outputs[0];
            if (!graph.Outputs.Contains(output) && graph.Initializers.TryGetValue(node.Inputs[0], out var tensor)
                && graph.Info(output).Shape is { IsStatic: true } shape)
            {
                graph.Initializers[output] = tensor.Reshape(shape.ToArray());
                graph.Nodes.Remove(node);
            }
        }
        RemoveUnused(graph);
    }

    /// <summary>Lets nodes write outputs of the graph themselves, where an Identity would copy them.</summary>
    public static void NameOutputs(Graph graph)
    {
        var written = graph.Nodes.SelectMany(node => node.Outputs).ToHashSet(StringComparer.Ordinal);
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var node in graph.Nodes.Where(node =>
            node is { OpType: "Identity", Domain: "" } && graph.Outputs.Contains(node.Outputs[0])))
        {
            var input = node.Inputs[0];
            if (written.Contains(input) && !graph.Outputs.Contains(input))
                names.TryAdd(input, node.Outputs[0]);
        }
        graph.Nodes.RemoveAll(node => node is { OpType: "Identity", Domain: "" }
            && names.GetValueOrDefault(node.Inputs[0]) == node.Outputs[0]);
        foreach (var list in graph.Nodes.SelectMany(node => new[] { node.Inputs, node.Outputs }))
        {
            for (var i = 0; i < list.Count; i++)
                list[i] = names.GetValueOrDefault(list[i], list[i]);
        }
    }

    /// <summary>Drops nodes and initialisers that no output depends on.</summary>
    public static void RemoveUnused(Graph graph)
    {
        var used = new HashSet<string>(graph.Outputs, StringComparer.Ordinal);
        for (var i = graph.Nodes.Count - 1; i >= 0; i--)
        {
            if (graph.Nodes[i].Outputs.Exists(used.Contains))
                AddInputs(graph.Nodes[i], used);
            else
                graph.Nodes.RemoveAt(i);
        }
        foreach (var name in graph.Initializers.Keys.Where(name => !used.Contains(name)).ToArray())
            graph.Initializers.Remove(name);
    }

    /// <summary>Adds what a node reads; its subgraphs read values of the graph around it by name.</summary>
    public static void AddInputs(Node node, HashSet<string> used)
    {
        used.UnionWith(node.Inputs);
        foreach (var inner in node.Attributes.Select(attribute => attribute.Value).OfType<Graph>().SelectMany(graph => graph.Nodes))
            AddInputs(inner, used);
        foreach (var graph in node.Attributes.Select(attribute => attribute.Value).OfType<Graph>())
            used.UnionWith(graph.Outputs);
    }
}
