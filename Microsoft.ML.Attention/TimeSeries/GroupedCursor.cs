using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>Goes through the series of a source, whose rows follow each other.</summary>
internal abstract class GroupedCursor : RootCursorBase
{
    private protected GroupedCursor(IHost host)
        : base(host)
    {
    }

    public static GroupedCursor Create(IHost host, DataViewRowCursor source, GroupedColumns columns, bool[] active) =>
        (GroupedCursor)Activator.CreateInstance(
            typeof(GroupedCursor<>).MakeGenericType(columns.Id.Type.RawType), host, source, columns, active)!;
}

/// <inheritdoc/>
/// <typeparam name="TId">The type of the ids.</typeparam>
internal sealed class GroupedCursor<TId> : GroupedCursor
    where TId : notnull
{
    private readonly DataViewRowCursor _source;
    private readonly GroupedColumns _columns;
    private readonly bool[] _active;
    private readonly ValueGetter<TId> _id;
    private readonly ValueGetter<DataViewRowId> _rowId;
    private readonly BufferedColumn?[] _kept;
    private readonly SeriesRows? _rows;
    private readonly HashSet<TId> _seen = new(IdComparer.Instance);
    private TId _current = default!;
    private DataViewRowId _firstRow;
    private bool _sourceEnded;

    public GroupedCursor(IHost host, DataViewRowCursor source, GroupedColumns columns, bool[] active)
        : base(host)
    {
        (_source, _columns, _active) = (source, columns, active);
        _id = source.GetGetter<TId>(columns.Id);
        _rowId = source.GetIdGetter();
        _kept = [.. columns.Kept.Select((column, i) => active[i] ? BufferedColumn.Create(source, column, 1) : null)];
        if (active[columns.TimesIndex] || active[columns.SeriesIndex])
            _rows = new(source, columns);
        _sourceEnded = !source.MoveNext();
    }

    public override DataViewSchema Schema => _columns.Schema;

    public override long Batch => 0;

    public override bool IsColumnActive(DataViewSchema.Column column) => _active[column.Index];

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
    {
        Ch.Check(IsGood, RowCursorUtils.FetchValueStateError);
        id = _firstRow;
    };

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Ch.CheckParam(column.Index < _active.Length && _active[column.Index], nameof(column), $"column '{column.Name}' was not asked for");
        Delegate getter = column.Index == _columns.TimesIndex ? (ValueGetter<VBuffer<float>>)_rows!.CopyTimes
            : column.Index == _columns.SeriesIndex ? (ValueGetter<VBuffer<float>>)_rows!.CopyValues
            : _kept[column.Index]!.CreateGetter(() => 0);
        return getter as ValueGetter<TValue>
            ?? throw Ch.ExceptParam(nameof(TValue), $"column '{column.Name}' is of type {column.Type.RawType}, not {typeof(TValue)}");
    }

    protected override bool MoveNextCore()
    {
        if (_sourceEnded)
            return false;
        // A text id is a piece of the source's buffer.
        TId id = default!;
        _id(ref id);
        _current = id is ReadOnlyMemory<char> text ? (TId)(object)new ReadOnlyMemory<char>(text.ToArray()) : id;
        if (!_seen.Add(_current))
        {
            throw new InvalidDataException($"Row {_source.Position} of the source belongs to series '{_current}', which had ended before: "
                + "rows of a series must follow each other; sort the data by its id.");
        }
        _rowId(ref _firstRow);
        foreach (var column in _kept)
            column?.Fetch(0);
        _rows?.Clear();
        do
        {
            _rows?.Add();
            _sourceEnded = !_source.MoveNext();
            if (!_sourceEnded)
                _id(ref id);
        }
        while (!_sourceEnded && IdComparer.Instance.Equals(id, _current));
        _rows?.Sort();
        return true;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            _source.Dispose();
        base.Dispose(disposing);
    }

    /// <summary>Compares text by its characters, all else by its own equality.</summary>
    private sealed class IdComparer : IEqualityComparer<TId>
    {
        public static readonly IdComparer Instance = new();

        public bool Equals(TId? x, TId? y) => x is ReadOnlyMemory<char> left && y is ReadOnlyMemory<char> right
            ? left.Span.SequenceEqual(right.Span) : EqualityComparer<TId>.Default.Equals(x, y);

        public int GetHashCode(TId id) => id is ReadOnlyMemory<char> text ? string.GetHashCode(text.Span) : id.GetHashCode();
    }
}
