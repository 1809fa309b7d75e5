using System.Text;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>
/// The parameters of a model under construction, or of one module in it. Each becomes an initialiser of the graph under its official
/// name; asking twice gives the same value. What does not fit the source of the weights is collected and reported at the end.
/// </summary>
internal sealed class Parameters
{
    private readonly GraphBuilder _builder;
    private readonly WeightSource _source;
    private readonly string _segment;
    private readonly string _prefix;
    private readonly Dictionary<string, Value> _values;
    private readonly List<string> _missing;
    private readonly List<string> _wrongShapes;
    private readonly HashSet<string> _ignored;

    public Parameters(GraphBuilder builder, WeightSource source)
    {
        (_builder, _source, _segment, _prefix) = (builder, source, "", "");
        (_values, _missing, _wrongShapes, _ignored) = (new(StringComparer.Ordinal), [], [], new(StringComparer.Ordinal));
    }

    /// <summary>Parameters that are values of the graph already, by name.</summary>
    public Parameters(GraphBuilder builder, IReadOnlyDictionary<string, Value> values)
        : this(builder, new Checkpoint(new Dictionary<string, Tensor>(), "the values given"))
    {
        foreach (var (name, value) in values)
            _values[name] = value;
    }

    private Parameters(Parameters parent, string segment)
    {
        (_builder, _source, _segment, _prefix) = (parent._builder, parent._source, segment, parent._prefix + segment + ".");
        (_values, _missing, _wrongShapes, _ignored) = (parent._values, parent._missing, parent._wrongShapes, parent._ignored);
        (LinearInitialization, LinearBiasInitialization) = (parent.LinearInitialization, parent.LinearBiasInitialization);
    }

    /// <summary>How the weights of linear layers start that do not say otherwise.</summary>
    public Initialization LinearInitialization { get; init; } = Initialization.TruncatedNormal();

    /// <summary>How the biases of linear layers start that do not say otherwise.</summary>
    public Initialization LinearBiasInitialization { get; init; } = Initialization.Zeros;

    /// <summary>The parameters of a module inside this one.</summary>
    public Parameters this[string module] => new(this, module);

    /// <summary>The path of this module, as in the names of its parameters.</summary>
    public string Path => _prefix.TrimEnd('.');

    /// <summary>Names the nodes made until the result is disposed after the module.</summary>
    public IDisposable Scope() => _builder.Scope(_segment);

    /// <summary>A parameter as a value of the graph.</summary>
    public Value Get(string name, Initialization initialization, params ReadOnlySpan<long> dims)
    {
        name = _prefix + name;
        if (_values.TryGetValue(name, out var known))
            return known;
        var expected = dims.ToArray();
        var tensor = _source.Find(name, expected, initialization);
        if (tensor is null)
            _missing.Add($"{name} {Shape.Of(dims)}");
        else if (!tensor.Dims.SequenceEqual(expected))
            _wrongShapes.Add($"{name} is {tensor.Shape}, the model takes {Shape.Of(dims)}");
        else
            return _values[name] = _builder.Initializer(name, tensor);
        return _values[name] = _builder.Initializer(name, Initialization.Zeros.Draw(0, name, expected));
    }

    /// <summary>Accepts a tensor that official checkpoints hold and nothing reads.</summary>
    public void Ignore(string name) => _ignored.Add(_prefix + name);

    /// <summary>Ends the construction.</summary>
    /// <exception cref="InvalidDataException">The source lacks parameters, or has them in other shapes, or has others.</exception>
    public void ThrowIfUnfit()
    {
        var surplus = _source.Names.Where(name => !_values.ContainsKey(name) && !_ignored.Contains(name)).ToArray();
        if (_missing.Count + _wrongShapes.Count + surplus.Length == 0)
            return;
        var message = new StringBuilder($"The model does not fit {_source.Description}.");
        List("Wrong shapes", _wrongShapes);
        List("Missing", _missing);
        List("Surplus", surplus);
        throw new InvalidDataException(message.ToString());

        void List(string title, IReadOnlyCollection<string> entries)
        {
            if (entries.Count > 0)
                message.Append($" {title} ({entries.Count}): {string.Join("; ", entries)}.");
        }
    }
}
