namespace Microsoft.ML.Attention.Onnx;

/// <summary>Counts the multiplications with additions of products and convolutions, in the definitions of functions too.</summary>
/// <param name="functions">The functions that nodes may call.</param>
internal sealed class MacCounter(IReadOnlyList<Function> functions)
{
    private readonly List<string> _uncounted = [];

    /// <summary>Products and convolutions whose sizes were not known.</summary>
    public IReadOnlyList<string> Uncounted => _uncounted;

    /// <summary>The count of a node; the graph knows the shapes of its values.</summary>
    public long Of(Graph graph, Node node)
    {
        if (functions.FirstOrDefault(function => function.Domain == node.Domain && function.Name == node.OpType) is { } function)
        {
            var body = Inliner.Expand(graph, node, function);
            ShapeInference.Infer(body, functions);
            return body.Nodes.Sum(inner => Of(body, inner));
        }
        if (node.Domain.Length > 0 || node.OpType is not ("Conv" or "ConvTranspose" or "MatMul" or "Gemm" or "Einsum"))
            return 0;
        var shapes = node.Inputs.Take(2).Append(node.Outputs[0]).Select(name => graph.Info(name).Shape).ToArray();
        if (!Array.TrueForAll(shapes, shape => shape is { IsStatic: true }))
        {
            _uncounted.Add($"{node.OpType} '{node.Name}'");
            return 0;
        }
        var (left, right, output) = (shapes[0]!, shapes[1]!, shapes[^1]!);
        return node.OpType switch
        {
            "Conv" => output.ElementCount * Product(right.Skip(1)),
            "ConvTranspose" => left.ElementCount * Product(right.Skip(1)),
            "Gemm" => output.ElementCount * left[node.Attributes.Int("transA", 0) == 0 ? 1 : 0].Value,
            "Einsum" => EinsumSize(node.Attributes.String("equation", ""), left, right),
            _ => output.ElementCount * left[-1].Value,
        };
    }

    // Each combination of all labels is one product.
    private static long EinsumSize(string equation, Shape left, Shape right)
    {
        var terms = equation.Replace(" ", "").Split("->")[0].Split(',');
        var sizes = new Dictionary<char, Dim>();
        foreach (var (term, shape) in terms.Zip([left, right]))
        {
            foreach (var (label, size) in term.Zip(shape))
                sizes[label] = size;
        }
        return Product(sizes.Values);
    }

    private static long Product(IEnumerable<Dim> sizes) => sizes.Aggregate(1L, (product, size) => product * size.Value);
}
