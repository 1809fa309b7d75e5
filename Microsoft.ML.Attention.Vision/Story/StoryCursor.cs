using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Goes through the rows of stories; the story of a row is made when one of its columns is read.</summary>
internal sealed class StoryCursor(IHost host, ColumnBindings bindings, DataViewRowCursor source, bool[] active, StoryRows? stories)
    : SynchronizedCursorBase(host, source)
{
    public override DataViewSchema Schema => bindings.Schema;

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Ch.CheckParam(column.Index < active.Length && active[column.Index], nameof(column), $"column '{column.Name}' was not asked for");
        var index = bindings.MapColumnIndex(out var isSource, column.Index);
        if (isSource)
            return Input.GetGetter<TValue>(Input.Schema[index]);
        return Added(index) as ValueGetter<TValue>
            ?? throw Ch.ExceptParam(nameof(TValue), $"column '{column.Name}' is of type {column.Type.RawType}, not {typeof(TValue)}");
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            stories?.Dispose();
        base.Dispose(disposing);
    }

    // In the order in which the transformer describes them.
    private Delegate Added(int index) => index switch
    {
        0 => (ValueGetter<MLImage?>)((ref MLImage? value) => value = stories!.Row(Position).Picture?.ToImage()),
        1 => (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = stories!.Row(Position).Caption.AsMemory()),
        2 => (ValueGetter<MLImage?>)((ref MLImage? value) => value = stories!.Row(Position).Page?.ToImage()),
        _ => (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = stories!.Row(Position).Failure.AsMemory()),
    };
}
