using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>The rows of the series at hand, in memory that is used again and again.</summary>
internal sealed class SeriesRows
{
    private readonly int _width;
    private readonly ValueGetter<float> _time;
    private readonly Action<Span<float>>[] _readers;
    private readonly List<(float Time, int Row)> _order = [];
    private float[] _values = [];
    private float[] _sorted = [];

    public SeriesRows(DataViewRow source, GroupedColumns columns)
    {
        _width = columns.VariableNames.Length;
        _time = source.GetGetter<float>(columns.Time);
        var first = 0;
        _readers = Array.ConvertAll(columns.Values, column =>
        {
            var start = first;
            var length = column.Type is VectorDataViewType vector ? vector.Size : 1;
            first += length;
            return CreateReader(source, column, start, length);
        });
    }

    public void Clear() => _order.Clear();

    /// <summary>Adds the source's current row.</summary>
    public void Add()
    {
        var row = _order.Count;
        if (_values.Length < (row + 1) * _width)
            Array.Resize(ref _values, Math.Max(2 * _values.Length, 16 * _width));
        var time = 0f;
        _time(ref time);
        _order.Add((time, row));
        foreach (var read in _readers)
            read(_values.AsSpan(row * _width, _width));
    }

    /// <summary>Sorts the rows by time; rows of one time keep their order.</summary>
    public void Sort()
    {
        _order.Sort();
        if (_sorted.Length < _values.Length)
            _sorted = new float[_values.Length];
        for (var i = 0; i < _order.Count; i++)
            _values.AsSpan(_order[i].Row * _width, _width).CopyTo(_sorted.AsSpan(i * _width));
    }

    public void CopyTimes(ref VBuffer<float> value)
    {
        var editor = VBufferEditor.Create(ref value, _order.Count);
        for (var i = 0; i < _order.Count; i++)
            editor.Values[i] = _order[i].Time;
        value = editor.Commit();
    }

    public void CopyValues(ref VBuffer<float> value)
    {
        var editor = VBufferEditor.Create(ref value, _order.Count * _width);
        _sorted.AsSpan(0, _order.Count * _width).CopyTo(editor.Values);
        value = editor.Commit();
    }

    private static Action<Span<float>> CreateReader(DataViewRow source, DataViewSchema.Column column, int start, int length)
    {
        if (column.Type is not VectorDataViewType)
        {
            var scalar = source.GetGetter<float>(column);
            return row => scalar(ref row[start]);
        }
        var vector = source.GetGetter<VBuffer<float>>(column);
        VBuffer<float> buffer = default;
        return row =>
        {
            vector(ref buffer);
            buffer.CopyTo(row.Slice(start, length));
        };
    }
}
