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
        var producers = graph.Nodes.SelectMany(node => node.Outputs.Where(output => output.Length > 0).Select(output => (output, node))).ToDictionary(pair => pair.output, pair => pair.node);
        var consumers = graph.Nodes.SelectMany(node => node.Inputs.Select(input => (input, node))).ToLookup(pair => pair.input, pair => pair.node);
        for (var i = 0; i < graph.Nodes.Count; i++)
        {
            var product = graph.Nodes[i];
            if (product is not { OpType: "MatMul", Domain: "" } || !producers.TryGetValue(product.Inputs[1], out var transpose) ||
                transpose is not { OpType: "Transpose", Domain: "" } || graph.Info(transpose.Inputs[0]).Shape is not { Rank: 2 } weight ||
                graph.Info(product.Inputs[0]).Shape is not { IsStatic: true, Rank: >= 2 } input)
                continue;
            var add = consumers[product.Outputs[0]].ToArray() is [{ OpType: "Add", Domain: "" } only] && !graph.Outputs.Contains(product.Outputs[0]) ? only : null;
            var bias = add?.Inputs.SingleOrDefault(name => graph.Initializers.TryGetValue(name, out var tensor) && tensor.Dims.Count == 1 && tensor.Dims[0] == weight[0].Value);
            var last = bias is null ? product : add!;
            var name = product.Outputs[0];
            graph.Initializers[name + "/rows"] = Tensor.Int64(-1, input[-1].Value);
            graph.Initializers[name + "/sizes"] = Tensor.Int64([.. input.Take(input.Rank - 1).Select(dim => dim.Value), weight[0].Value]);
            graph.Nodes.RemoveAt(i);
            graph.Nodes.InsertRange(i,
            [
                new() { OpType = "Reshape", Name = product.Name + "/input", Inputs = [product.Inputs[0], name + "/rows"], Outputs = [name + "/input"] },
                new()
                {
                    OpType = "Gemm",
                    Name = product.Name,
                    Inputs = bias is null ? [name + "/input", transpose.Inputs[0]] : [name + "/input", transpose.Inputs[0], bias],
                    Outputs = [name + "/output"],
                    Attributes = new() { ["transB"] = 1 },
                },
                new() { OpType = "Reshape", Name = product.Name + "/output", Inputs = [name + "/output", name + "/sizes"], Outputs = [last.Outputs[0]] },
            ]);
            if (bias is not null)
                graph.Nodes.Remove(add!);
        }
        ShapeInference.Infer(graph);
        GraphSimplifier.RemoveUnused(graph);
    }
}
