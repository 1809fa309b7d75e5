using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>
/// Rewrites a graph so that it computes in float16 what gains by it and loses nothing. Products run in half; operators whose results leave
/// the range of half stay in single precision; all others follow their inputs. What is computed from parameters and inputs alone stays in
/// single precision up to the first product, what is computed from constants alone behind that too; a Cast to float32, which does nothing in single precision, keeps what follows there, products
/// too, up to a CastLike. A value <c>x</c> in half precision is called <c>x.half</c>; the outputs of the graph keep their names and types.
/// </summary>
internal sealed class MixedPrecision
{
    // Products, which tensor cores compute in half with sums in single precision.
    private static readonly HashSet<string> Products = new(StringComparer.Ordinal) { "Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul" };

    private static readonly HashSet<string> Single = new(StringComparer.Ordinal)
    {
        // Beyond 65504, or below 6e-8, for ordinary inputs; or steep where the input is small, so that the gradient is.
        "Exp", "Log", "Pow", "Reciprocal", "Sqrt", "Tan",
        // Sums of many elements, which grow with their number.
        "CumSum", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd", "ReduceSum", "ReduceSumSquare",
        // Normalisations whose definition or gradient is made of such sums, or whose statistics are to keep their precision.
        "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LogSoftmax", "LpNormalization", "LRN",
    };

    private readonly Graph _graph;
    private readonly IReadOnlySet<string> _trained;
    private readonly List<Node> _nodes = [];
    private readonly Dictionary<string, Precision> _precisions = new(StringComparer.Ordinal);
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private readonly HashSet<string> _usedInSingle = new(StringComparer.Ordinal);
    private readonly HashSet<string> _constants;

    private MixedPrecision(Graph graph, IReadOnlySet<string> trained)
    {
        (_graph, _trained) = (graph, trained);
        _constants = graph.Initializers.Keys.Where(name => !trained.Contains(name)).Append("").ToHashSet(StringComparer.Ordinal);
    }

    private enum Precision
    {
        /// <summary>Stored in single precision, but free to be cast: inputs, parameters, and what is computed from them alone.</summary>
        Either,
        Half,

        /// <summary>Beyond the range of half precision until a product casts it.</summary>
        Single,

        /// <summary>In single precision by the model's own word: behind a Cast from float32 to float32, up to a CastLike.</summary>
        Required,
    }

    /// <summary>The name of a value in half precision.</summary>
    public static string InHalf(string name) => name + ".half";

    /// <summary>Rewrites a graph of known types, with functions inlined.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="trained">The initialisers that change; the others are converted here.</param>
    /// <returns>The trained initialisers that are used in half precision only: <c>x.half</c> is to be provided, <c>x</c> is not used.</returns>
    public static IReadOnlySet<string> Apply(Graph graph, IReadOnlySet<string> trained)
    {
        var pass = new MixedPrecision(graph, trained);
        foreach (var node in graph.Nodes)
            pass.Convert(node);
        foreach (var output in graph.Outputs.Where(pass.IsReal))
            pass.AsSingle(output);
        var halfOnly = trained.Where(name => pass._known.Contains(InHalf(name)) && !pass._usedInSingle.Contains(name))
            .ToHashSet(StringComparer.Ordinal);
        graph.Nodes.Clear();
        graph.Nodes.AddRange(pass._nodes.Where(node => node.OpType != "Cast" || !halfOnly.Contains(node.Inputs[0])));
        return halfOnly;
    }

    private void Convert(Node node)
    {
        var precision = PrecisionOf(node);
        for (var i = 0; i < node.Inputs.Count; i++)
        {
            if (IsReal(node.Inputs[i]))
                node.Inputs[i] = precision == Precision.Half && !KeepsSingle(node, i) ? AsHalf(node.Inputs[i]) : AsSingle(node.Inputs[i]);
        }
        if (HasGraph(node))
        {
            // Its graphs read values of this one by name.
            var captured = new HashSet<string>(StringComparer.Ordinal);
            GraphSimplifier.AddInputs(node, captured);
            foreach (var name in captured.Where(name => IsReal(name)))
                AsSingle(name);
        }
        _nodes.Add(node);
        if (precision == Precision.Half)
            ComputeInHalf(node);
        else
            node.Outputs.ForEach(output => _precisions[output] = precision);
    }

    private void ComputeInHalf(Node node)
    {
        var outputs = node.Outputs.ToArray();
        for (var i = 0; i < outputs.Length; i++)
        {
            if (IsReal(outputs[i]))
                node.Outputs[i] = InHalf(outputs[i]);
        }
        ShapeInference.Infer(_graph, node, []);
        for (var i = 0; i < outputs.Length; i++)
        {
            if (node.Outputs[i] == outputs[i])
                continue;
            if (_graph.Info(node.Outputs[i]).Type == TensorElementType.Float16)
            {
                _precisions[outputs[i]] = Precision.Half;
                _known.Add(node.Outputs[i]);
            }
            else
            {
                // By the operator's contract the output is in single precision.
                _precisions[outputs[i]] = Precision.Single;
                node.Outputs[i] = outputs[i];
            }
        }
    }

    private Precision PrecisionOf(Node node)
    {
        if (node.Inputs.Count > 0 && node.Inputs.TrueForAll(_constants.Contains))
        {
            // ONNX Runtime computes it once, which it can in single precision only.
            _constants.UnionWith(node.Outputs);
            return Precision.Either;
        }
        var inputs = node.Inputs.Where((input, i) => IsReal(input) && !KeepsSingle(node, i)).ToArray();
        if (inputs.Length == 0 || HasGraph(node))
            return Precision.Either;
        if (node is { OpType: "Cast", Domain: "" } && node.Attributes.Int("to") == (long)TensorElementType.Float)
            return Precision.Required;
        if (node.Domain == AttentionOp.Domain)
            return Precision.Half;
        if (node.Domain.Length > 0 || Single.Contains(node.OpType) || inputs.Any(IsBeyondHalf))
            return Precision.Single;
        if (node is { OpType: "CastLike", Domain: "" } && IsReal(node.Inputs[1]))
            return _precisions.GetValueOrDefault(node.Inputs[1]);
        var most = inputs.Max(input => _precisions.GetValueOrDefault(input));
        return most < Precision.Required && Products.Contains(node.OpType) ? Precision.Half : most;
    }

    // Sizes and regions of Resize are of single precision whatever its input is.
    private static bool KeepsSingle(Node node, int input) =>
        AttentionOps.Find(node) is { } op ? op.KeepsSingle(input) : node is { OpType: "Resize", Domain: "" } && input > 0;

    private static bool HasGraph(Node node) => node.Attributes.Any(attribute => attribute.Value is Graph);

    private bool IsReal(string name) => name.Length > 0 && _graph.Info(name).Type == TensorElementType.Float;

    // A constant such as 1e-12, which keeps a denominator from zero, is zero in half, and 1e9 is infinite.
    private bool IsBeyondHalf(string name)
    {
        if (_trained.Contains(name) || !_graph.Initializers.TryGetValue(name, out var tensor) || tensor.ElementCount != 1)
            return false;
        var value = Math.Abs(tensor.AsSpan<float>()[0]);
        return value != 0 && (value < (float)BitConverter.UInt16BitsToHalf(0x0400) || value > (float)Half.MaxValue);
    }

    private string AsHalf(string name)
    {
        var half = InHalf(name);
        if (!_known.Add(half))
            return half;
        if (!_trained.Contains(name) && _graph.Initializers.TryGetValue(name, out var tensor))
            _graph.Initializers[half] = ToHalf(tensor);
        else
            AddCast(name, half, TensorElementType.Float16);
        _graph.Values[half] = _graph.Info(name) with { Type = TensorElementType.Float16 };
        return half;
    }

    private string AsSingle(string name)
    {
        if (_usedInSingle.Add(name) && _precisions.GetValueOrDefault(name) == Precision.Half)
            AddCast(InHalf(name), name, TensorElementType.Float);
        return name;
    }

    private void AddCast(string input, string output, TensorElementType type) => _nodes.Add(new()
    {
        OpType = "Cast", Name = output + "/cast", Inputs = [input], Outputs = [output], Attributes = new() { ["to"] = (long)type },
    });

    private static Tensor ToHalf(Tensor tensor)
    {
        var limit = (float)Half.MaxValue;
        return Tensor.Create<Half>(Array.ConvertAll(tensor.AsSpan<float>().ToArray(), value => (Half)Math.Clamp(value, -limit, limit)),
            [.. tensor.Dims]);
    }
}
