using System.Runtime.ExceptionServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>
/// Values of a source column that passes a batching cursor: fetched while the source is on the row, handed out when the consumer is.
/// </summary>
internal abstract class BufferedColumn
{
    /// <summary>Buffers a column of the row.</summary>
    /// <param name="source">The row to read.</param>
    /// <param name="column">The column, active in the row.</param>
    /// <param name="length">The rows that are under way at a time.</param>
    public static BufferedColumn Create(DataViewRow source, DataViewSchema.Column column, int length)
    {
        var valueType = column.Type.RawType;
        var type = valueType.IsGenericType && valueType.GetGenericTypeDefinition() == typeof(VBuffer<>)
            ? typeof(BufferedVectors<>).MakeGenericType(valueType.GetGenericArguments())
            : typeof(BufferedValues<>).MakeGenericType(valueType);
        return (BufferedColumn)Activator.CreateInstance(type, source, column, length)!;
    }

    /// <summary>Takes the source's current value into place <paramref name="index"/>.</summary>
    public abstract void Fetch(int index);

    /// <summary>A getter of the value at the place that <paramref name="currentIndex"/> tells.</summary>
    public abstract Delegate CreateGetter(Func<int> currentIndex);
}

/// <inheritdoc/>
internal abstract class BufferedColumn<T>(DataViewRow source, DataViewSchema.Column column, int length) : BufferedColumn
{
    private readonly ValueGetter<T> _getter = source.GetGetter<T>(column);
    private readonly T[] _values = new T[length];
    private ExceptionDispatchInfo?[]? _failures;

    public sealed override void Fetch(int index)
    {
        if (_failures is not null)
            _failures[index] = null;
        try
        {
            Fetch(_getter, ref _values[index]);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whoever reads this column should meet the error, on this row; others should not.
            _failures ??= new ExceptionDispatchInfo?[length];
            _failures[index] = ExceptionDispatchInfo.Capture(e);
        }
    }

    public sealed override Delegate CreateGetter(Func<int> currentIndex) => (ValueGetter<T>)((ref T destination) =>
    {
        int index = currentIndex();
        _failures?[index]?.Throw();
        Copy(in _values[index], ref destination);
    });

    protected abstract void Fetch(ValueGetter<T> getter, ref T value);

    protected abstract void Copy(in T value, ref T destination);
}

/// <summary>A column of scalars.</summary>
internal sealed class BufferedValues<T>(DataViewRow source, DataViewSchema.Column column, int length)
    : BufferedColumn<T>(source, column, length)
{
    private readonly Func<T, T>? _copy = OwnedValues.CopyOf<T>();
    private T _original = default!;

    protected override void Fetch(ValueGetter<T> getter, ref T value)
    {
        if (_copy is not null)
        {
            getter(ref _original);
            value = _copy(_original);
            return;
        }
        // An object that was fetched before belongs to the consumer by now: the source must not write into it.
        if (!typeof(T).IsValueType)
            value = default!;
        getter(ref value);
    }

    protected override void Copy(in T value, ref T destination) => destination = value;
}

/// <summary>A column of vectors.</summary>
internal sealed class BufferedVectors<TItem>(DataViewRow source, DataViewSchema.Column column, int length)
    : BufferedColumn<VBuffer<TItem>>(source, column, length)
{
    protected override void Fetch(ValueGetter<VBuffer<TItem>> getter, ref VBuffer<TItem> value)
    {
        if (!typeof(TItem).IsValueType)
            value = default;
        getter(ref value);
    }

    protected override void Copy(in VBuffer<TItem> value, ref VBuffer<TItem> destination) => value.CopyTo(ref destination);
}
