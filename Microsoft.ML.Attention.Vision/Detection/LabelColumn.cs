using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A column that lists the classes of objects: a vector of texts, or of keys with text values.</summary>
internal static class LabelColumn
{
    /// <summary>The classes of a row that moves on between calls; null for missing ones.</summary>
    /// <exception cref="ArgumentException">The column is of another type.</exception>
    public static Func<string?[]> CreateGetter(DataViewRow row, DataViewSchema.Column column)
    {
        switch (column.Type)
        {
            case VectorDataViewType { ItemType: TextDataViewType }:
                var texts = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(column);
                VBuffer<ReadOnlyMemory<char>> text = default;
                return () =>
                {
                    texts(ref text);
                    return [.. text.DenseValues().Select(value => value.ToString())];
                };
            case VectorDataViewType { ItemType: KeyDataViewType { RawType: var raw } } when raw == typeof(uint):
                var names = Names(column);
                var keys = row.GetGetter<VBuffer<uint>>(column);
                VBuffer<uint> key = default;
                return () =>
                {
                    keys(ref key);
                    return [.. key.DenseValues().Select(value => value == 0 || value > names.Length ? null : names[value - 1])];
                };
            default:
                throw new ArgumentException(
                    $"Column '{column.Name}' is of type {column.Type}; it must be a vector of texts or of keys with text values.");
        }
    }

    private static string[] Names(DataViewSchema.Column column)
    {
        VBuffer<ReadOnlyMemory<char>> values = default;
        column.GetKeyValues(ref values);
        return [.. values.DenseValues().Select(value => value.ToString())];
    }
}
