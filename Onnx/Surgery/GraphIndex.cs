using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Surgery;

/// <summary>
/// Who writes and who reads each value of a graph, which values are made of weights alone, and what is known of their shapes.
/// </summary>
internal sealed class GraphIndex
{
    private readonly Dictionary<string, Node> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<Node>> _consumers = new(StringComparer.Ordinal);
    private readonly HashSet<string> _constants;

    /// <summary>Indexes a graph; the types and shapes that can be inferred become known in it.</summary>
    /// <exception cref="InvalidDataException">The shapes of the graph contradict each other.</exception>
    public GraphIndex(OnnxModel model)
    {
        Graph = model.Graph;
        _constants = new(Graph.Initializers.Keys, StringComparer.Ordinal);
        foreach (var node in Graph.Nodes)
        {
            foreach (var output in node.Outputs.Where(output => output.Length > 0))
                _producers[output] = node;
            foreach (var input in node.Inputs.Where(input => input.Length > 0).Distinct())
                ConsumersOf(input).Add(node);
            var isOfConstants = node.Inputs.Count > 0 && node.Inputs.TrueForAll(input => input.Length == 0 || IsConstant(input));
            if (node.OpType == "Constant" || isOfConstants)
                _constants.UnionWith(node.Outputs);
        }
        InferShapes(model);
    }

    public Graph Graph { get; }

    /// <summary>The node that writes a value; null for inputs and weights.</summary>
    public Node? Producer(string value) => _producers.GetValueOrDefault(value);

    /// <summary>The nodes that read a value, but for those that only look at its shape.</summary>
    public IReadOnlyList<Node> Readers(string value) =>
        _consumers.TryGetValue(value, out var consumers) ? consumers.FindAll(node => node.OpType != "Shape") : [];

    /// <summary>Whether a value depends on weights alone.</summary>
    public bool IsConstant(string value) => _constants.Contains(value);

    public Shape? ShapeOf(string value) => Graph.Info(value).Shape;

    /// <summary>The content of a vector of sizes, with what is not known left open; null where nothing is known.</summary>
    public Shape? SizesIn(string value) => Graph.Info(value).Content;

    /// <summary>
    /// The number that a value holds, where it follows from weights and known sizes; exporters compute scales from shapes.
    /// </summary>
    public double? Number(string value)
    {
        if (Graph.Initializers.TryGetValue(value, out var weight))
            return NumberIn(weight);
        if (Producer(value) is not { Domain: "" } node)
            return null;
        switch (node.OpType)
        {
            case "Constant" when node.Attributes.Contains("value"):
                return NumberIn((Tensor)node.Attributes["value"]);
            case "Constant" when node.Attributes.Contains("value_float"):
                return node.Attributes.Float("value_float", 0);
            case "Cast" or "CastLike" or "Identity" or "Squeeze" or "Unsqueeze" or "Reshape":
                return Number(node.Inputs[0]) ?? Size(value);
            case "Sqrt":
                return Number(node.Inputs[0]) is { } square ? Math.Sqrt(square) : null;
            case "Reciprocal":
                return 1 / Number(node.Inputs[0]);
            case "Mul":
                return Number(node.Inputs[0]) * Number(node.Inputs[1]);
            case "Div" when Graph.Info(value).Type is not (TensorElementType.Int64 or TensorElementType.Int32):
                return Number(node.Inputs[0]) / Number(node.Inputs[1]);
            case "Pow":
                return Number(node.Inputs[0]) is { } @base && Number(node.Inputs[1]) is { } exponent ? Math.Pow(@base, exponent) : null;
            default:
                return Size(value);
        }
    }

    /// <summary>Whether a value is zero throughout, such as the bias that PyTorch's baddbmm multiplies by zero.</summary>
    public bool IsZero(string value)
    {
        if (Graph.Initializers.TryGetValue(value, out var weight))
            return IsZero(weight);
        if (Number(value) == 0)
            return true;
        return Producer(value) switch
        {
            { OpType: "Constant" } node => node.Attributes.Contains("value") && IsZero((Tensor)node.Attributes["value"]),
            { OpType: "Mul" } node => node.Inputs.Exists(IsZero),
            { OpType: "Add" } node => node.Inputs.TrueForAll(IsZero),
            { OpType: "Cast" or "Expand" or "Reshape" or "Unsqueeze" or "Identity" } node => IsZero(node.Inputs[0]),
            { OpType: "ConstantOfShape" } node => !node.Attributes.Contains("value") || IsZero((Tensor)node.Attributes["value"]),
            _ => false,
        };
    }

    private static bool IsZero(Tensor tensor) => !tensor.Data.Span.ContainsAnyExcept((byte)0);

    private List<Node> ConsumersOf(string value)
    {
        if (!_consumers.TryGetValue(value, out var consumers))
            _consumers[value] = consumers = [];
        return consumers;
    }

    private double? Size(string value) => SizesIn(value) is { Rank: 1 } sizes && sizes[0].IsKnown ? sizes[0].Value : null;

    private static double? NumberIn(Tensor tensor) => tensor.ElementCount != 1 ? null : tensor.Type switch
    {
        TensorElementType.Float => tensor.AsSpan<float>()[0],
        TensorElementType.Float16 => (double)tensor.AsSpan<Half>()[0],
        TensorElementType.Double => tensor.AsSpan<double>()[0],
        TensorElementType.Int64 or TensorElementType.Int32 => tensor.ToInt64()[0],
        _ => null,
    };

    // On a copy that speaks the current operator set, as the rules do.
    private static void InferShapes(OnnxModel model)
    {
        var copy = model.Graph.Clone();
        var opset = model.Opsets.GetValueOrDefault("", OnnxModel.DefaultOpset);
        if (opset is >= OpsetUpgrade.Oldest and < OnnxModel.DefaultOpset)
            OpsetUpgrade.Apply(copy, opset);
        try
        {
            ShapeInference.Infer(copy, model.Functions);
        }
        catch (InvalidOperationException error)
        {
            throw new InvalidDataException($"The shapes in graph '{copy.Name}' contradict each other: {error.Message}", error);
        }
        foreach (var (value, info) in copy.Values)
            model.Graph.Values[value] = info;
    }
}
