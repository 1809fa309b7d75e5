using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>The names of the variables of a column of series, whose vectors, of no fixed size, cannot have slot names.</summary>
internal static class SeriesAnnotations
{
    private const string VariableNames = "VariableNames";

    public static DataViewSchema.Annotations Of(IReadOnlyList<string> names)
    {
        var values = new VBuffer<ReadOnlyMemory<char>>(names.Count, [.. names.Select(name => name.AsMemory())]);
        var builder = new DataViewSchema.Annotations.Builder();
        builder.Add(VariableNames, new VectorDataViewType(TextDataViewType.Instance, names.Count),
            (ValueGetter<VBuffer<ReadOnlyMemory<char>>>)((ref VBuffer<ReadOnlyMemory<char>> value) => values.CopyTo(ref value)));
        return builder.ToAnnotations();
    }

    /// <summary>The names of a column's variables; null where it does not tell.</summary>
    public static string[]? Find(DataViewSchema.Column column)
    {
        if (column.Annotations.Schema.GetColumnOrNull(VariableNames) is null)
            return null;
        VBuffer<ReadOnlyMemory<char>> names = default;
        column.Annotations.GetValue(VariableNames, ref names);
        return [.. names.DenseValues().Select(name => name.ToString())];
    }
}
