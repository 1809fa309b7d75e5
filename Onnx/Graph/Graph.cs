using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>One operator call.</summary>
public sealed class Node
{
    /// <summary>The operator, such as <c>MatMul</c>.</summary>
    public required string OpType { get; init; }

    /// <summary>The operator's domain; empty for the standard one.</summary>
    public string Domain { get; init; } = "";

    /// <summary>A name for people and profilers; need not be unique.</summary>
    public string Name { get; set; } = "";

    /// <summary>Names of the inputs; empty where an optional one is left out.</summary>
    public List<string> Inputs { get; init; } = [];

    /// <summary>Names of the outputs; empty where an optional one is left out.</summary>
    public List<string> Outputs { get; init; } = [];

    /// <summary>The attributes.</summary>
    public Attributes Attributes { get; init; } = [];

    /// <summary>Free text by key; exporters that give nodes no telling names put the path of their module here.</summary>
    public Dictionary<string, string> Metadata { get; init; } = [];

    /// <inheritdoc/>
    public override string ToString() =>
        $"{(Domain.Length == 0 ? "" : Domain + "::")}{OpType}({string.Join(", ", Inputs)}) -> {string.Join(", ", Outputs)}";
}

/// <summary>What is known of a value: its element type, its shape, and for small integer tensors their content.</summary>
/// <param name="Type">The element type, or null where not known.</param>
/// <param name="Shape">The shape, or null where not even the rank is known.</param>
/// <param name="Content">The elements of an integer scalar or vector that stands for sizes, axes or indices, or null.</param>
public sealed record ValueInfo(TensorElementType? Type, Shape? Shape, Shape? Content = null);

/// <summary>A graph of operators in the order in which they run. Values are known by name, each written once.</summary>
public sealed class Graph
{
    /// <summary>A name for people.</summary>
    public string Name { get; set; } = "graph";

    /// <summary>The names of the inputs.</summary>
    public List<string> Inputs { get; } = [];

    /// <summary>The names of the outputs.</summary>
    public List<string> Outputs { get; } = [];

    /// <summary>The nodes, producers before consumers.</summary>
    public List<Node> Nodes { get; } = [];

    /// <summary>The weights and constants by name.</summary>
    public Dictionary<string, Tensor> Initializers { get; } = new(StringComparer.Ordinal);

    /// <summary>What is known of each value, by name. Inputs and outputs of a model have an entry; others may.</summary>
    public Dictionary<string, ValueInfo> Values { get; } = new(StringComparer.Ordinal);

    /// <summary>
    /// Whether an initialiser has axes and a name of its own, as parameters do; scalars and what a <see cref="GraphBuilder"/> names for
    /// itself are constants.
    /// </summary>
    internal static bool IsWeight(string name, Tensor tensor) =>
        tensor.Type is TensorElementType.Float or TensorElementType.Float16 or TensorElementType.BFloat16 or TensorElementType.Double
        && tensor.Dims.Count > 0 && !name[(name.LastIndexOf('/') + 1)..].StartsWith("const_", StringComparison.Ordinal);

    /// <summary>The nodes that read each value, once for each time, as the nodes are now.</summary>
    internal ILookup<string, Node> Readers() => Nodes.SelectMany(node => node.Inputs, (node, input) => (input, node))
        .ToLookup(use => use.input, use => use.node, StringComparer.Ordinal);

    /// <summary>A copy whose nodes and lists can be changed; the tensors are shared.</summary>
    internal Graph Clone()
    {
        var copy = new Graph { Name = Name };
        copy.Inputs.AddRange(Inputs);
        copy.Outputs.AddRange(Outputs);
        copy.Nodes.AddRange(Nodes.Select(node => new Node
        {
            OpType = node.OpType,
            Domain = node.Domain,
            Name = node.Name,
            Inputs = [.. node.Inputs],
            Outputs = [.. node.Outputs],
            Attributes = node.Attributes.Clone(),
            Metadata = new(node.Metadata),
        }));
        foreach (var (name, tensor) in Initializers)
            copy.Initializers[name] = tensor;
        foreach (var (name, info) in Values)
            copy.Values[name] = info;
        return copy;
    }

    /// <summary>What is known of a value; nothing at all if it has no entry.</summary>
    public ValueInfo Info(string name) => Values.GetValueOrDefault(name) ?? new(null, null);
}

/// <summary>A named operator defined by other operators (a model-local function).</summary>
public sealed class Function
{
    /// <summary>The domain of the operator.</summary>
    public required string Domain { get; init; }

    /// <summary>The operator.</summary>
    public required string Name { get; init; }

    /// <summary>The names of the attributes that the body refers to.</summary>
    public IReadOnlyList<string> AttributeNames { get; init; } = [];

    /// <summary>The definition; its inputs and outputs are the formal parameters. It has no initialisers.</summary>
    public required Graph Body { get; init; }

    /// <summary>The operator sets that the body uses, by domain.</summary>
    public Dictionary<string, long> Opsets { get; init; } = new() { [""] = OnnxModel.DefaultOpset };
}
