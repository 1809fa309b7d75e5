using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A source with the columns of stories added. Lazy: columns nobody asks for cost nothing.</summary>
internal sealed class StoryDataView : IDataView
{
    private readonly IHost _host;
    private readonly StoryTransformer _transformer;
    private readonly IDataView _source;
    private readonly ColumnBindings _bindings;
    private readonly CancellationToken _cancellation;

    public StoryDataView(IHost host, StoryTransformer transformer, IDataView source, CancellationToken cancellation)
    {
        (_host, _transformer, _source, _cancellation) = (host, transformer, source, cancellation);
        _bindings = new(source.Schema, transformer.DescribeColumns());
    }

    /// <summary>No: a story's rows are in order.</summary>
    public bool CanShuffle => false;

    public DataViewSchema Schema => _bindings.Schema;

    public long? GetRowCount() => _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        var active = new bool[Schema.Count];
        foreach (var column in columnsNeeded)
            active[column.Index] = true;
        var passing = _bindings.GetActiveInput(column => active[column]);
        // Stories are read by a cursor of their own, before the first of them is made.
        var stories = _bindings.AddedColumnIndices.Any(column => active[column])
            ? new StoryRows(_transformer, _host.Start("Stories"), _source, _cancellation)
            : null;
        return new StoryCursor(_host, _bindings, _source.GetRowCursor(_source.Schema.Where(column => passing[column.Index])), active, stories);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
