namespace Microsoft.ML.Attention.Onnx;

/// <summary>Replaces calls of functions by the functions' bodies.</summary>
internal static class Inliner
{
    /// <summary>
    /// The body of a function with the attributes and the input types of one call filled in; names are those of the function.
    /// </summary>
    public static Graph Expand(Graph caller, Node call, Function function)
    {
        var body = new Graph { Name = function.Name };
        body.Inputs.AddRange(function.Body.Inputs);
        body.Outputs.AddRange(function.Body.Outputs);
        for (var i = 0; i < body.Inputs.Count; i++)
        {
            if (i < call.Inputs.Count && call.Inputs[i].Length > 0)
                body.Values[body.Inputs[i]] = caller.Info(call.Inputs[i]);
        }
        body.Nodes.AddRange(Nodes(call, function, "", name => name));
        return body;
    }

    /// <summary>Replaces, as deep as they nest, all calls of the given functions for which <paramref name="when"/> holds.</summary>
    public static void Inline(Graph graph, IReadOnlyList<Function> functions, Func<Node, bool> when)
    {
        var count = 0;
        for (var position = 0; position < graph.Nodes.Count;)
        {
            var call = graph.Nodes[position];
            var function = functions.FirstOrDefault(function => function.Domain == call.Domain && function.Name == call.OpType);
            if (function is null || !when(call))
            {
                position++;
                continue;
            }
            var prefix = $"{(call.Name.Length > 0 ? call.Name : call.OpType)}@{count++}/";
            var names = new Dictionary<string, string>(StringComparer.Ordinal);
            for (var i = 0; i < function.Body.Inputs.Count; i++)
                names[function.Body.Inputs[i]] = i < call.Inputs.Count ? call.Inputs[i] : "";
            for (var i = 0; i < function.Body.Outputs.Count; i++)
            {
                if (i < call.Outputs.Count && call.Outputs[i].Length > 0)
                    names[function.Body.Outputs[i]] = call.Outputs[i];
            }
            graph.Nodes.RemoveAt(position);
            graph.Nodes.InsertRange(position, Nodes(call, function, prefix, name =>
                name.Length == 0 ? "" : names.TryGetValue(name, out var known) ? known : names[name] = prefix + name));
        }
    }

    private static IEnumerable<Node> Nodes(Node call, Function function, string prefix, Func<string, string> rename)
    {
        foreach (var node in function.Body.Nodes)
        {
            var attributes = new Attributes();
            foreach (var (name, value) in node.Attributes)
            {
                if (value is not AttributeReference reference)
                    attributes[name] = value;
                else if (call.Attributes.Contains(reference.Name))
                    attributes[name] = call.Attributes[reference.Name];
            }
            yield return new()
            {
                OpType = node.OpType,
                Domain = node.Domain,
                Name = prefix + node.Name,
                Attributes = attributes,
                Metadata = node.Metadata.Count > 0 ? node.Metadata : call.Metadata,
                Inputs = node.Inputs.ConvertAll(name => rename(name)),
                Outputs = node.Outputs.ConvertAll(name => rename(name)),
            };
        }
    }
}
