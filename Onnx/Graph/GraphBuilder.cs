using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>A value in a graph under construction. Arithmetic on values and the methods of <see cref="Operators"/> add nodes.</summary>
public sealed class Value
{
    internal Value(GraphBuilder builder, string name) => (Builder, Name) = (builder, name);

    /// <summary>The builder of the graph that the value belongs to.</summary>
    public GraphBuilder Builder { get; }

    /// <summary>The name of the value in the graph.</summary>
    public string Name { get; }

    /// <summary>What is known of the value.</summary>
    public ValueInfo Info => Builder.Graph.Info(Name);

    /// <summary>The element type.</summary>
    /// <exception cref="InvalidOperationException">It is not known, as inside function bodies.</exception>
    public TensorElementType Type => Info.Type ?? throw new InvalidOperationException($"The element type of '{Name}' is not known.");

    /// <summary>The shape.</summary>
    /// <exception cref="InvalidOperationException">Not even the rank is known.</exception>
    public Shape Shape => Info.Shape ?? throw new InvalidOperationException($"The shape of '{Name}' is not known.");

    /// <summary>Adds elementwise with broadcasting.</summary>
    public static Value operator +(Value left, Value right) => left.Builder.Op("Add", [left, right]);

    /// <summary>Adds a number to each element.</summary>
    public static Value operator +(Value left, double right) => left + left.Builder.Scalar(right, left);

    /// <summary>Subtracts elementwise with broadcasting.</summary>
    public static Value operator -(Value left, Value right) => left.Builder.Op("Sub", [left, right]);

    /// <summary>Subtracts a number from each element.</summary>
    public static Value operator -(Value left, double right) => left - left.Builder.Scalar(right, left);

    /// <summary>Subtracts each element from a number.</summary>
    public static Value operator -(double left, Value right) => right.Builder.Scalar(left, right) - right;

    /// <summary>Negates each element.</summary>
    public static Value operator -(Value value) => value.Builder.Op("Neg", [value]);

    /// <summary>Multiplies elementwise with broadcasting.</summary>
    public static Value operator *(Value left, Value right) => left.Builder.Op("Mul", [left, right]);

    /// <summary>Multiplies each element by a number.</summary>
    public static Value operator *(Value left, double right) => left * left.Builder.Scalar(right, left);

    /// <summary>Multiplies each element by a number.</summary>
    public static Value operator *(double left, Value right) => right.Builder.Scalar(left, right) * right;

    /// <summary>Divides elementwise with broadcasting.</summary>
    public static Value operator /(Value left, Value right) => left.Builder.Op("Div", [left, right]);

    /// <summary>Divides each element by a number.</summary>
    public static Value operator /(Value left, double right) => left / left.Builder.Scalar(right, left);

    /// <summary>Divides a number by each element.</summary>
    public static Value operator /(double left, Value right) => right.Builder.Scalar(left, right) / right;

    /// <inheritdoc/>
    public override string ToString() => $"{Name}: {Info.Type} {Info.Shape}";
}

/// <summary>Builds a graph node by node and infers types and shapes on the way.</summary>
public sealed class GraphBuilder
{
    private readonly bool _isFunctionBody;
    private readonly Dictionary<string, Value> _constants = [];
    private readonly List<Function> _functions = [];
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);
    private string _scope = "";
    private int _count;

    /// <summary>Starts an empty graph.</summary>
    public GraphBuilder()
        : this(new Graph())
    {
    }

    /// <summary>Starts an empty graph of that name.</summary>
    public GraphBuilder(string name)
        : this(new Graph { Name = name })
    {
    }

    /// <summary>Adds to a graph that exists; new values get names that it does not use yet.</summary>
    public GraphBuilder(Graph graph)
        : this(graph, isFunctionBody: false)
    {
    }

    private GraphBuilder(Graph graph, bool isFunctionBody)
    {
        Graph = graph;
        _isFunctionBody = isFunctionBody;
        _names.UnionWith(graph.Inputs.Concat(graph.Initializers.Keys).Concat(graph.Nodes.SelectMany(node => node.Outputs)));
    }

    /// <summary>The graph so far.</summary>
    public Graph Graph { get; }

    /// <summary>The value of that name.</summary>
    /// <exception cref="KeyNotFoundException">The graph has no value of that name.</exception>
    public Value this[string name] =>
        _names.Contains(name) ? new(this, name) : throw new KeyNotFoundException($"The graph has no value '{name}'.");

    /// <summary>Builds a function: the formal inputs go in, the outputs come back. Types and shapes are open.</summary>
    public static Function BuildFunction(
        string domain, string name, string[] inputs, string[] outputs, string[] attributes, Func<GraphBuilder, Value[], Value[]> body)
    {
        var graph = new Graph { Name = name };
        graph.Inputs.AddRange(inputs);
        var builder = new GraphBuilder(graph, isFunctionBody: true);
        var results = body(builder, Array.ConvertAll(inputs, input => new Value(builder, input)));
        for (var i = 0; i < outputs.Length; i++)
            builder.Output(outputs[i], results[i]);
        var function = new Function { Domain = domain, Name = name, AttributeNames = attributes, Body = graph };
        foreach (var called in graph.Nodes.Select(node => node.Domain).Where(called => called.Length > 0))
            function.Opsets[called] = 1;
        return function;
    }

    /// <summary>
    /// Builds the body of a Loop in a function: the number of the iteration, whether it goes on and the states go in, whether it goes on
    /// and the states come back. It sees no values of the function.
    /// </summary>
    internal static Graph BuildLoopBody(
        string name, (string Name, TensorElementType Type)[] states, Func<GraphBuilder, Value[], Value[]> body)
    {
        var graph = new Graph { Name = name };
        var builder = new GraphBuilder(graph, isFunctionBody: true);
        // Names of inner graphs must differ from those around them.
        using var scope = builder.Scope(name);
        (string, ValueInfo)[] inputs =
        [
            ("number", new(TensorElementType.Int64, [])), ("goes_on", new(TensorElementType.Bool, [])),
            .. states.Select(state => (state.Name, new ValueInfo(state.Type, null))),
        ];
        foreach (var (input, info) in inputs)
        {
            graph.Inputs.Add($"{name}/{input}");
            graph.Values[graph.Inputs[^1]] = info;
        }
        var results = body(builder, [.. graph.Inputs.Select(input => new Value(builder, input))]);
        for (var i = 0; i < results.Length; i++)
            builder.Output($"{name}/result{i}", results[i]);
        return graph;
    }

    /// <summary>Adds an input.</summary>
    public Value Input(string name, TensorElementType type, Shape shape)
    {
        Claim(name);
        Graph.Inputs.Add(name);
        Graph.Values[name] = new(type, shape);
        return new(this, name);
    }

    /// <summary>Adds a weight.</summary>
    public Value Initializer(string name, Tensor tensor)
    {
        Claim(name);
        Graph.Initializers[name] = tensor;
        Graph.Values[name] = new(tensor.Type, tensor.Shape, ShapeInference.ContentOf(tensor));
        return new(this, name);
    }

    /// <summary>Names an output.</summary>
    public void Output(string name, Value value)
    {
        Claim(name);
        Graph.Outputs.Add(name);
        AddNode("Identity", "", [value], [], [name]);
    }

    /// <summary>A constant. Equal small integer constants are shared.</summary>
    public Value Constant(Tensor tensor)
    {
        var key = tensor.Data.Length > 256 ? null : $"{tensor} {Convert.ToBase64String(tensor.Data.Span)}";
        if (key is not null && _constants.TryGetValue(key, out var known))
            return known;
        Value value;
        if (_isFunctionBody)
        {
            value = Op("Constant", [], new() { ["value"] = tensor });
        }
        else
        {
            value = Initializer(NewName("const"), tensor);
        }
        if (key is not null)
            _constants[key] = value;
        return value;
    }

    /// <summary>A constant vector of int64, the form in which operators take sizes and axes.</summary>
    public Value Int64(params ReadOnlySpan<long> values) => Constant(Tensor.Int64(values));

    /// <summary>A scalar of the element type of another value.</summary>
    public Value Scalar(double value, Value like)
    {
        if (like.Info.Type is not { } type)
            return Op("CastLike", [Constant(Tensor.Scalar((float)value)), like]);
        return Constant(type switch
        {
            TensorElementType.Float => Tensor.Scalar((float)value),
            TensorElementType.Double => Tensor.Scalar(value),
            TensorElementType.Float16 => Tensor.Scalar((Half)value),
            TensorElementType.Int64 => Tensor.Scalar((long)value),
            TensorElementType.Int32 => Tensor.Scalar((int)value),
            _ => throw new NotSupportedException($"A {type} scalar cannot be made from {value}."),
        });
    }

    /// <summary>Inside a function body: an attribute of the calling node as an int64 scalar or vector, or a float.</summary>
    /// <param name="name">The attribute.</param>
    /// <param name="kind">Its type: long, float, long[] or float[].</param>
    public Value Attribute(string name, Type kind)
    {
        var target = kind == typeof(long) ? "value_int"
            : kind == typeof(float) ? "value_float"
            : kind == typeof(long[]) ? "value_ints"
            : "value_floats";
        return Op("Constant", [], new() { [target] = new AttributeReference(name, kind) });
    }

    /// <summary>Adds a node with one output.</summary>
    /// <param name="opType">The operator.</param>
    /// <param name="inputs">The inputs; null where an optional one is left out.</param>
    /// <param name="attributes">The attributes.</param>
    /// <param name="domain">The operator's domain.</param>
    public Value Op(string opType, ReadOnlySpan<Value?> inputs, Attributes? attributes = null, string domain = "") =>
        Ops(opType, inputs, 1, attributes, domain)[0];

    /// <summary>Adds a node with several outputs.</summary>
    public Value[] Ops(string opType, ReadOnlySpan<Value?> inputs, int outputCount, Attributes? attributes = null, string domain = "")
    {
        var outputs = new string[outputCount];
        for (var i = 0; i < outputCount; i++)
            outputs[i] = Claim(NewName(opType));
        AddNode(opType, domain, inputs, attributes ?? [], outputs);
        return Array.ConvertAll(outputs, name => new Value(this, name));
    }

    /// <summary>An output of a node that is in the graph; one that the node leaves out is added.</summary>
    internal Value OutputOf(Node node, int index)
    {
        while (node.Outputs.Count <= index)
            node.Outputs.Add("");
        if (node.Outputs[index].Length == 0)
        {
            node.Outputs[index] = Claim(NewName(node.OpType));
            ShapeInference.Infer(Graph, node, _functions);
        }
        return new(this, node.Outputs[index]);
    }

    /// <summary>Prefixes the names of nodes and values made until the scope is disposed; scopes nest.</summary>
    public IDisposable Scope(string name)
    {
        var outer = _scope;
        _scope = outer + name + "/";
        return new ScopeEnd(() => _scope = outer);
    }

    /// <summary>Puts the nodes that <paramref name="build"/> adds before a node that is in the graph, for which they are made.</summary>
    internal void Before(Node node, Action build)
    {
        var first = Graph.Nodes.Count;
        build();
        var added = Graph.Nodes.GetRange(first, Graph.Nodes.Count - first);
        Graph.Nodes.RemoveRange(first, added.Count);
        Graph.Nodes.InsertRange(Graph.Nodes.IndexOf(node), added);
    }

    /// <summary>Makes a function of another model known, so that nodes calling it can be inferred and it is part of the model.</summary>
    public void AddFunction(Function function) => _functions.Add(function);

    /// <summary>The model: the graph, the functions of all <c>ml.attention</c> operators in it, and the operator sets they need.</summary>
    public OnnxModel ToModel() => AttentionOps.Complete(new() { Graph = Graph, Functions = [.. _functions] });

    private void AddNode(string opType, string domain, ReadOnlySpan<Value?> inputs, Attributes attributes, string[] outputs)
    {
        var node = new Node
        {
            OpType = opType,
            Domain = domain,
            Name = outputs[0],
            Attributes = attributes,
            Outputs = [.. outputs],
        };
        foreach (var input in inputs)
        {
            if (input is not null && input.Builder != this)
                throw new ArgumentException($"{opType}: input '{input.Name}' belongs to another graph.");
            node.Inputs.Add(input?.Name ?? "");
        }
        while (node.Inputs.Count > 0 && node.Inputs[^1].Length == 0)
            node.Inputs.RemoveAt(node.Inputs.Count - 1);
        // ONNX Runtime wants as many outputs as the function has; those nobody asked for stay nameless.
        if (AttentionOps.Find(node) is { } op)
            node.Outputs.AddRange(Enumerable.Repeat("", op.Function.Body.Outputs.Count - node.Outputs.Count));
        Graph.Nodes.Add(node);
        ShapeInference.Infer(Graph, node, _functions);
    }

    private string NewName(string hint)
    {
        string name;
        do
            name = $"{_scope}{hint}_{_count++}";
        while (_names.Contains(name));
        return name;
    }

    private string Claim(string name) =>
        _names.Add(name) ? name : throw new ArgumentException($"The graph has a value named '{name}' already.");

    private sealed class ScopeEnd(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
