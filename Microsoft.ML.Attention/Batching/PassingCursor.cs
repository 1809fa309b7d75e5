using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>A source's cursor under the output schema, for when no column of the model is asked for.</summary>
internal sealed class PassingCursor(IHost host, BoundScorer scorer, DataViewRowCursor source, bool[] active)
    : SynchronizedCursorBase(host, source)
{
    public override DataViewSchema Schema => scorer.OutputSchema;

    public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        Ch.CheckParam(column.Index < active.Length && active[column.Index], nameof(column), $"column '{column.Name}' was not asked for");
        int index = scorer.Bindings.MapColumnIndex(out _, column.Index);
        return Input.GetGetter<TValue>(Input.Schema[index]);
    }
}
