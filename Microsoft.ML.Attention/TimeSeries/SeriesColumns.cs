using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>The columns of a schema that hold series.</summary>
/// <param name="Series">The values.</param>
/// <param name="Times">The times; null where rows are at equal distances.</param>
internal sealed record SeriesColumns(DataViewSchema.Column Series, DataViewSchema.Column? Times)
{
    /// <summary>The number of variables, if the column of values tells.</summary>
    public int? VariableCount => Series.Type is VectorDataViewType { Dimensions: [_, > 0 and var count] } ? count : null;

    /// <summary>The names of the variables, if the column of values tells.</summary>
    public string[]? VariableNames => SeriesAnnotations.Find(Series);

    public int[] Indices => Times is { } times ? [Series.Index, times.Index] : [Series.Index];

    /// <summary>Finds the columns.</summary>
    /// <exception cref="InvalidOperationException">One is missing, or is no vector of float.</exception>
    public static SeriesColumns Bind(DataViewSchema schema, TemporalColumns columns) =>
        new(Find(schema, columns.Series), columns.Times is { } times ? Find(schema, times) : null);

    public static void Check(SchemaShape shape, TemporalColumns columns)
    {
        foreach (var name in columns.Times is null ? [columns.Series] : new[] { columns.Series, columns.Times })
        {
            if (!shape.TryFindColumn(name, out var column))
                throw Missing(name, shape.Select(c => c.Name));
            if (column.ItemType.RawType != typeof(float) || column.Kind == SchemaShape.Column.VectorKind.Scalar)
                throw Unfit(name, column.GetTypeString());
        }
    }

    private static DataViewSchema.Column Find(DataViewSchema schema, string name)
    {
        var column = schema.GetColumnOrNull(name) ?? throw Missing(name, schema.Select(c => c.Name));
        return column.Type is VectorDataViewType { ItemType.RawType: var raw } && raw == typeof(float)
            ? column : throw Unfit(name, column.Type.ToString()!);
    }

    private static InvalidOperationException Missing(string name, IEnumerable<string> there) =>
        new($"Column '{name}' of series is not in the data, which has {string.Join(", ", there.Select(c => $"'{c}'"))}; name it in "
            + $"{nameof(TemporalColumns)}.{nameof(TemporalColumns.Series)} or {nameof(TemporalColumns.Times)} (null where rows are at "
            + "equal distances).");

    private static InvalidOperationException Unfit(string name, string type) =>
        new($"Column '{name}' is of type {type}; series and times are vectors of float. Rows that have an id and a time become such "
            + "vectors by mlContext.Transforms.GroupTimeSeries.");
}
