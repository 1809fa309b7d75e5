using ParquetSharp;

namespace BatchScoring.Output;

/// <summary>One column of the part that is being scored.</summary>
internal abstract class OutputColumn
{
    /// <summary>Name and type in the Parquet schema.</summary>
    public abstract Column Schema { get; }

    public abstract int Count { get; }

    public abstract void AddMissing();

    /// <summary>Drops all rows but the first <paramref name="rows"/>.</summary>
    public abstract void Truncate(int rows);

    /// <summary>Writes the rows as the group's next column.</summary>
    public abstract void Write(RowGroupWriter group);
}

/// <summary>A column of scalars.</summary>
/// <typeparam name="T">A type that has null for a missing value.</typeparam>
internal sealed class ScalarColumn<T>(string name) : OutputColumn
{
    private readonly List<T?> _rows = [];

    public override Column Schema { get; } = new Column<T?>(name);

    public override int Count => _rows.Count;

    public void Add(T value) => _rows.Add(value);

    public override void AddMissing() => _rows.Add(default);

    public override void Truncate(int rows) => _rows.RemoveRange(rows, _rows.Count - rows);

    public override void Write(RowGroupWriter group)
    {
        using var column = group.NextColumn().LogicalWriter<T?>();
        column.WriteBatch([.. _rows]);
    }
}

/// <summary>A column of lists. The memory of one part serves the next.</summary>
internal sealed class ListColumn<T>(string name) : OutputColumn
{
    private readonly List<T[]?> _rows = [];
    private readonly Stack<T[]> _spare = [];

    public override Column Schema { get; } = new Column<T[]?>(name);

    public override int Count => _rows.Count;

    public void Add(ReadOnlySpan<T> values)
    {
        var row = _spare.TryPop(out var spare) && spare.Length == values.Length ? spare : new T[values.Length];
        values.CopyTo(row);
        _rows.Add(row);
    }

    public override void AddMissing() => _rows.Add(null);

    public override void Truncate(int rows)
    {
        for (var row = rows; row < _rows.Count; row++)
        {
            if (_rows[row] is { } spare)
                _spare.Push(spare);
        }
        _rows.RemoveRange(rows, _rows.Count - rows);
    }

    public override void Write(RowGroupWriter group)
    {
        using var column = group.NextColumn().LogicalWriter<T[]?>();
        column.WriteBatch([.. _rows]);
    }
}
