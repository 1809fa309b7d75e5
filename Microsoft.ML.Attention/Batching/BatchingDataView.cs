using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// A source with the columns of a model added, scored in batches as a cursor goes. Lazy: columns nobody asks for cost nothing.
/// </summary>
internal sealed class BatchingDataView(IHost host, BoundScorer scorer, IDataView source, CancellationToken cancellation) : IDataView
{
    public bool CanShuffle => source.CanShuffle;

    public DataViewSchema Schema => scorer.OutputSchema;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        bool[] active = Active(columnsNeeded);
        return Wrap(source.GetRowCursor(scorer.SourceColumns(active), rand), active);
    }

    /// <summary>
    /// As many cursors as the source gives where only its own columns are read; one where the model runs, which uses all cores by itself.
    /// </summary>
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null)
    {
        bool[] active = Active(columnsNeeded);
        if (Scores(active))
            return [Wrap(source.GetRowCursor(scorer.SourceColumns(active), rand), active)];
        return Array.ConvertAll(source.GetRowCursorSet(scorer.SourceColumns(active), n, rand), cursor => Wrap(cursor, active));
    }

    private bool[] Active(IEnumerable<DataViewSchema.Column> columns)
    {
        bool[] active = new bool[Schema.Count];
        foreach (var column in columns)
            active[column.Index] = true;
        return active;
    }

    private bool Scores(bool[] active) => scorer.Bindings.AddedColumnIndices.Any(c => active[c]);

    private DataViewRowCursor Wrap(DataViewRowCursor cursor, bool[] active)
    {
        try
        {
            return Scores(active)
                ? new BatchCursor(host, scorer, cursor, active, cancellation)
                : new PassingCursor(host, scorer, cursor, active);
        }
        catch
        {
            cursor.Dispose();
            throw;
        }
    }
}
