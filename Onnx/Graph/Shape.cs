using System.Collections;
using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>One dimension of a <see cref="Shape"/>: a number, a named symbol such as <c>N</c>, or unknown.</summary>
public readonly struct Dim : IEquatable<Dim>
{
    private readonly long _value;
    private readonly bool _known;

    /// <summary>A dimension of known size.</summary>
    public Dim(long value) => (_value, _known) = (value, true);

    /// <summary>A named dimension whose size is given when the model runs.</summary>
    public Dim(string symbol) => Symbol = symbol;

    /// <summary>A dimension of which nothing is known.</summary>
    public static Dim Unknown => default;

    /// <summary>Whether the size is a number.</summary>
    public bool IsKnown => _known;

    /// <summary>The name of the dimension, or null.</summary>
    public string? Symbol { get; }

    /// <summary>The size.</summary>
    /// <exception cref="InvalidOperationException">The size is not known.</exception>
    public long Value => _known ? _value : throw new InvalidOperationException($"Dimension '{this}' has no fixed size.");

    /// <summary>Whether both are certain to be the same size: equal numbers or equal symbols.</summary>
    public bool Equals(Dim other) => _known ? other._known && _value == other._value : Symbol is not null && Symbol == other.Symbol;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Dim other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => _known ? _value.GetHashCode() : Symbol?.GetHashCode() ?? 0;

    /// <inheritdoc/>
    public override string ToString() => _known ? _value.ToString() : Symbol ?? "?";

    /// <summary>Whether both are certain to be the same size.</summary>
    public static bool operator ==(Dim left, Dim right) => left.Equals(right);

    /// <summary>Whether the sizes may differ.</summary>
    public static bool operator !=(Dim left, Dim right) => !left.Equals(right);

    /// <summary>A dimension of known size.</summary>
    public static implicit operator Dim(long value) => new(value);

    /// <summary>A named dimension.</summary>
    public static implicit operator Dim(string symbol) => new(symbol);
}

/// <summary>The shape of a tensor: its dimensions from the outermost to the innermost.</summary>
[CollectionBuilder(typeof(Shape), nameof(Create))]
public sealed class Shape : IReadOnlyList<Dim>
{
    private readonly Dim[] _dims;

    private Shape(Dim[] dims) => _dims = dims;

    /// <summary>A shape of the given dimensions; also what a collection expression calls.</summary>
    public static Shape Create(ReadOnlySpan<Dim> dims) => new(dims.ToArray());

    /// <summary>A shape of known sizes.</summary>
    public static Shape Of(ReadOnlySpan<long> sizes)
    {
        var dims = new Dim[sizes.Length];
        for (var i = 0; i < dims.Length; i++)
            dims[i] = sizes[i];
        return new(dims);
    }

    /// <summary>The number of dimensions.</summary>
    public int Rank => _dims.Length;

    /// <inheritdoc/>
    public int Count => _dims.Length;

    /// <summary>The dimension at an index; negative indices count from the end.</summary>
    public Dim this[int index] => _dims[index < 0 ? index + _dims.Length : index];

    /// <summary>Whether every size is a number.</summary>
    public bool IsStatic => Array.TrueForAll(_dims, dim => dim.IsKnown);

    /// <summary>The number of elements.</summary>
    /// <exception cref="InvalidOperationException">A size is not known.</exception>
    public long ElementCount => _dims.Aggregate(1L, (product, dim) => product * dim.Value);

    /// <summary>The sizes as numbers.</summary>
    /// <exception cref="InvalidOperationException">A size is not known.</exception>
    public long[] ToArray() => Array.ConvertAll(_dims, dim => dim.Value);

    /// <summary>The same shape with one dimension replaced.</summary>
    public Shape With(int index, Dim dim)
    {
        var dims = (Dim[])_dims.Clone();
        dims[index < 0 ? index + dims.Length : index] = dim;
        return new(dims);
    }

    /// <inheritdoc/>
    public IEnumerator<Dim> GetEnumerator() => ((IEnumerable<Dim>)_dims).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => _dims.GetEnumerator();

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", _dims)}]";
}
