using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>The schema shape that an estimator promises, taken from the columns that its transformer adds.</summary>
internal static class OutputSchemaShape
{
    /// <summary>An input shape with the columns added, in place of those of the same name.</summary>
    public static SchemaShape Add(SchemaShape input, IEnumerable<DataViewSchema.DetachedColumn> added)
    {
        var builder = new DataViewSchema.Builder();
        foreach (var column in added)
            builder.AddColumn(column.Name, column.Type, column.Annotations);
        var shapes = SchemaShape.Create(builder.ToSchema());
        return new(input.Where(c => !shapes.Any(s => s.Name == c.Name)).Concat(shapes));
    }

    /// <inheritdoc cref="Add(SchemaShape, IEnumerable{DataViewSchema.DetachedColumn})"/>
    public static SchemaShape Add(SchemaShape input, OnnxTransformerBase transformer)
    {
        var columns = transformer.GetOutputColumns().Select(c => c.Describe());
        string? errorColumn = transformer.Scoring.ErrorColumnName;
        return Add(input, errorColumn is null ? columns : columns.Append(new ErrorColumn(errorColumn).Describe()));
    }
}
