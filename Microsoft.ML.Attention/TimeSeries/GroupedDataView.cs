using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>A source with one row a series.</summary>
internal sealed class GroupedDataView(IHost host, IDataView source, GroupedColumns columns) : IDataView
{
    public bool CanShuffle => false;

    public DataViewSchema Schema => columns.Schema;

    public long? GetRowCount() => null;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        var active = new bool[Schema.Count];
        foreach (var column in columnsNeeded)
            active[column.Index] = true;
        var series = active[columns.TimesIndex] || active[columns.SeriesIndex];
        IEnumerable<DataViewSchema.Column> read =
            [columns.Id, .. columns.Constants.Where((_, i) => active[i + 1]), .. series ? columns.Values.Prepend(columns.Time) : []];
        return GroupedCursor.Create(host, source.GetRowCursor(read), columns, active);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
