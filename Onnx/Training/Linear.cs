namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Linear layers as they are cheap to differentiate.</summary>
internal static class Linear
{
    /// <summary>
    /// Turns products by a transposed weight matrix, with the addition of a bias where one follows, into one Gemm each: then the gradient
    /// of the weight is one product, too, and nothing is transposed.
    /// </summary>
    public static void Fuse(Graph graph)
    {
        var transposes = graph.Nodes.Where(node => node is { OpType: "Transpose", Domain: "" }).ToDictionary(node => node.Outputs[0]);
        var readers = graph.Readers();
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var product = graph.Nodes[i];
            if (product is not { OpType: "MatMul", Domain: "" }
                || !transposes.TryGetValue(product.Inputs[1], out var transpose)
                || graph.Info(transpose.Inputs[0]).Shape is not { Rank: 2 } weight
                || graph.Info(product.Inputs[0]).Shape is not { IsStatic: true, Rank: >= 2 } input)
                continue;
            var (add, bias) = FindBias(graph, product.Outputs[0], weight[0].Value, readers);
            var layer = Layer(graph, product, transpose.Inputs[0], bias, input, weight[0].Value, (add ?? product).Outputs[0]);
            graph.Nodes.RemoveAt(i);
            graph.Nodes.InsertRange(i, layer);
            if (add is not null)
                graph.Nodes.Remove(add);
        }
        GraphSimplifier.RemoveUnused(graph);
    }

    // The addition that alone uses a product, if what it adds is one number a column.
    private static (Node? Add, string? Bias) FindBias(Graph graph, string product, long width, ILookup<string, Node> readers)
    {
        if (graph.Outputs.Contains(product) || readers[product].ToArray() is not [{ OpType: "Add", Domain: "" } add])
            return (null, null);
        var bias = add.Inputs.Find(name => graph.Initializers.TryGetValue(name, out var tensor) && tensor.Dims.SequenceEqual([width]));
        return bias is null ? (null, null) : (add, bias);
    }

    private static Node[] Layer(Graph graph, Node product, string weight, string? bias, Shape input, long width, string output)
    {
        var name = product.Outputs[0];
        graph.Initializers[name + "/rows"] = Tensor.Int64(-1, input[-1].Value);
        graph.Initializers[name + "/sizes"] = Tensor.Int64([.. input.ToArray()[..^1], width]);
        return
        [
            new()
            {
                OpType = "Reshape",
                Name = product.Name + "/input",
                Inputs = [product.Inputs[0], name + "/rows"],
                Outputs = [name + "/input"],
            },
            new()
            {
                OpType = "Gemm",
                Name = product.Name,
                Inputs = bias is null ? [name + "/input", weight] : [name + "/input", weight, bias],
                Outputs = [name + "/output"],
                Attributes = new() { ["transB"] = 1 },
            },
            new()
            {
                OpType = "Reshape",
                Name = product.Name + "/output",
                Inputs = [name + "/output", name + "/sizes"],
                Outputs = [output],
            },
        ];
    }
}
