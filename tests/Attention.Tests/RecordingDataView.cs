namespace Microsoft.ML.Attention.Tests;

/// <summary>Remembers which columns the last cursor was asked for.</summary>
internal sealed class RecordingDataView(IDataView source) : IDataView
{
    public string[] LastActive { get; private set; } = [];

    public bool CanShuffle => source.CanShuffle;

    public DataViewSchema Schema => source.Schema;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        LastActive = columnsNeeded.Select(c => c.Name).ToArray();
        return source.GetRowCursor(columnsNeeded, rand);
    }

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null)
    {
        LastActive = columnsNeeded.Select(c => c.Name).ToArray();
        return source.GetRowCursorSet(columnsNeeded, n, rand);
    }
}
