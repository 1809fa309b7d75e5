using System.Collections;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Stands, inside a function body, for the attribute of that name of the node that calls the function.</summary>
/// <param name="Name">The function's attribute.</param>
/// <param name="Kind">The type of its value: <c>long</c>, <c>float</c>, <c>string</c>, or an array of one of them.</param>
public sealed record AttributeReference(string Name, Type Kind);

/// <summary>
/// The attributes of a node by name. A value is a long, float, string, long[], float[], string[], <see cref="Tensor"/>,
/// <see cref="Graph"/> or, inside function bodies, an <see cref="AttributeReference"/>.
/// </summary>
public sealed class Attributes : IEnumerable<KeyValuePair<string, object>>
{
    private readonly SortedDictionary<string, object> _values = new(StringComparer.Ordinal);

    /// <summary>The value of an attribute. Ints, bools and doubles are stored as ONNX stores them: long and float.</summary>
    /// <exception cref="KeyNotFoundException">There is no such attribute.</exception>
    /// <exception cref="ArgumentException">ONNX has no attribute of the value's type.</exception>
    public object this[string name]
    {
        get => _values[name];
        set => _values[name] = value switch
        {
            int number => (long)number,
            bool flag => flag ? 1L : 0L,
            double number => (float)number,
            int[] numbers => Array.ConvertAll(numbers, number => (long)number),
            long or float or string or long[] or float[] or string[] or Tensor or Graph or AttributeReference => value,
            _ => throw new ArgumentException($"Attribute '{name}': ONNX has no attribute of type {value.GetType().Name}."),
        };
    }

    /// <summary>Whether there is an attribute of that name.</summary>
    public bool Contains(string name) => _values.ContainsKey(name);

    /// <summary>The integer, or <paramref name="defaultValue"/> where it is not given.</summary>
    public long Int(string name, long defaultValue) => Get(name, defaultValue);

    /// <summary>The integer.</summary>
    /// <exception cref="KeyNotFoundException">It is not given.</exception>
    public long Int(string name) => (long)this[name];

    /// <summary>The number, or <paramref name="defaultValue"/> where it is not given.</summary>
    public float Float(string name, float defaultValue) => Get(name, defaultValue);

    /// <summary>The text, or <paramref name="defaultValue"/> where it is not given.</summary>
    public string String(string name, string defaultValue) => Get(name, defaultValue);

    /// <summary>The integers, or null where they are not given.</summary>
    public long[]? Ints(string name) => Get<long[]?>(name, null);

    /// <summary>A copy that can be changed on its own.</summary>
    public Attributes Clone()
    {
        var copy = new Attributes();
        foreach (var (name, value) in _values)
            copy._values[name] = value;
        return copy;
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, object>> GetEnumerator() => _values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private T Get<T>(string name, T defaultValue) => _values.TryGetValue(name, out var value) ? (T)value : defaultValue;
}
