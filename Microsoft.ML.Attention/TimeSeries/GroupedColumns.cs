using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>The columns that grouping reads from a source, and the schema of the groups.</summary>
internal sealed class GroupedColumns
{
    private readonly DataViewSchema _source;

    public GroupedColumns(DataViewSchema source, GroupTimeSeriesEstimator.Options options)
    {
        _source = source;
        Id = Find(options.IdColumnName);
        Time = Find(options.TimeColumnName);
        if (Time.Type is not NumberDataViewType { RawType: var time } || time != typeof(float))
            throw Unfit(Time, "a float, such as hours since the beginning");
        Values = [.. options.ValueColumnNames.Select(Find)];
        foreach (var column in Values)
        {
            if (column.Type.GetItemType().RawType != typeof(float) || column.Type is VectorDataViewType { IsKnownSize: false })
                throw Unfit(column, "a float or a vector of floats of known size");
        }
        Constants = [.. options.ConstantColumnNames.Select(Find)];
        VariableNames = [.. Values.SelectMany(NamesOf)];

        var builder = new DataViewSchema.Builder();
        foreach (var column in Kept)
            builder.AddColumn(column.Name, column.Type, column.Annotations);
        TimesIndex = Kept.Length;
        builder.AddColumn(options.TimesColumnName, new VectorDataViewType(NumberDataViewType.Single));
        SeriesIndex = Kept.Length + 1;
        builder.AddColumn(
            options.SeriesColumnName, new VectorDataViewType(NumberDataViewType.Single, 0, VariableNames.Length),
            SeriesAnnotations.Of(VariableNames));
        Schema = builder.ToSchema();
    }

    public DataViewSchema Schema { get; }

    public DataViewSchema.Column Id { get; }

    public DataViewSchema.Column Time { get; }

    public DataViewSchema.Column[] Values { get; }

    public DataViewSchema.Column[] Constants { get; }

    /// <summary>The columns whose value in the first row of a series is kept; they come first in <see cref="Schema"/>.</summary>
    public DataViewSchema.Column[] Kept => [Id, .. Constants];

    public int TimesIndex { get; }

    public int SeriesIndex { get; }

    public string[] VariableNames { get; }

    private static IEnumerable<string> NamesOf(DataViewSchema.Column column)
    {
        if (column.Type is not VectorDataViewType vector)
            return [column.Name];
        if (!column.HasSlotNames())
            return Enumerable.Range(0, vector.Size).Select(slot => $"{column.Name}.{slot}");
        VBuffer<ReadOnlyMemory<char>> names = default;
        column.GetSlotNames(ref names);
        return names.DenseValues().Select(name => name.ToString()).ToArray();
    }

    private DataViewSchema.Column Find(string name) => _source.GetColumnOrNull(name)
        ?? throw new InvalidOperationException(
            $"Grouping reads column '{name}', which the data does not have; it has {string.Join(", ", _source.Select(c => $"'{c.Name}'"))}.");

    private static InvalidOperationException Unfit(DataViewSchema.Column column, string expected) =>
        new($"Column '{column.Name}' is of type {column.Type}, and grouping takes {expected}: "
            + "convert it with mlContext.Transforms.Conversion.ConvertType.");
}
