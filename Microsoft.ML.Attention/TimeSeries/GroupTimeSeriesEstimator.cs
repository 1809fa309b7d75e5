using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// Makes one row a series of rows that have an id and a time: what <c>TemporalAttention</c> learns from. Rows of a series follow each
/// other in the data; their times may come in any order.
/// </summary>
public sealed class GroupTimeSeriesEstimator : IEstimator<GroupTimeSeriesTransformer>
{
    private readonly IHost _host;
    private readonly Options _options;

    internal GroupTimeSeriesEstimator(IHostEnvironment environment, Options options)
    {
        _host = environment.Register(nameof(GroupTimeSeriesEstimator));
        options.Validate();
        _options = options;
    }

    /// <summary>Nothing is learnt: checks the columns.</summary>
    /// <param name="input">The rows.</param>
    /// <exception cref="InvalidOperationException">A column is missing or has a type that does not fit.</exception>
    public GroupTimeSeriesTransformer Fit(IDataView input)
    {
        _host.CheckValue(input, nameof(input));
        var transformer = new GroupTimeSeriesTransformer(_host, _options);
        transformer.GetOutputSchema(input.Schema);
        return transformer;
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        _host.CheckValue(inputSchema, nameof(inputSchema));
        foreach (var name in _options.AllColumns.Where(name => !inputSchema.TryFindColumn(name, out _)))
            throw _host.ExceptSchemaMismatch(nameof(inputSchema), "input", name);
        SchemaShape.Column Vector(string name) =>
            new(name, SchemaShape.Column.VectorKind.VariableVector, NumberDataViewType.Single, isKey: false);
        return new(
        [
            .. inputSchema.Where(column => column.Name == _options.IdColumnName || _options.ConstantColumnNames.Contains(column.Name)),
            Vector(_options.TimesColumnName),
            Vector(_options.SeriesColumnName),
        ]);
    }

    /// <summary>Options for <see cref="GroupTimeSeriesEstimator"/>.</summary>
    public sealed class Options
    {
        /// <summary>The column that tells series apart, of any type. It is kept.</summary>
        public string IdColumnName { get; set; } = "Id";

        /// <summary>The column of times, a float in any unit. Rows whose time is not a number make their series bad input.</summary>
        public string TimeColumnName { get; set; } = "Time";

        /// <summary>
        /// The columns of measured values, floats or vectors of floats of known size; NaN where something was not measured.
        /// </summary>
        public IReadOnlyList<string> ValueColumnNames { get; set; } = [];

        /// <summary>Columns, such as the label, of which the value in the first row of a series is kept.</summary>
        public IReadOnlyList<string> ConstantColumnNames { get; set; } = [];

        /// <summary>The column of values to add: a vector of float <c>[rows of the series, variables]</c>, sorted by time.</summary>
        public string SeriesColumnName { get; set; } = "Series";

        /// <summary>The column of times to add: a vector of float, one number for each row of the series.</summary>
        public string TimesColumnName { get; set; } = "Times";

        internal IEnumerable<string> AllColumns => [IdColumnName, TimeColumnName, .. ValueColumnNames, .. ConstantColumnNames];

        internal void Validate()
        {
            if (ValueColumnNames.Count == 0)
                throw new ArgumentException($"{nameof(ValueColumnNames)} is empty; name the columns of measured values.");
        }

        internal void Save(ModelSaveContext context)
        {
            context.SaveNonEmptyString(IdColumnName);
            context.SaveNonEmptyString(TimeColumnName);
            SaveNames(ValueColumnNames);
            SaveNames(ConstantColumnNames);
            context.SaveNonEmptyString(SeriesColumnName);
            context.SaveNonEmptyString(TimesColumnName);

            void SaveNames(IReadOnlyList<string> names)
            {
                context.Writer.Write(names.Count);
                foreach (var name in names)
                    context.SaveNonEmptyString(name);
            }
        }

        internal static Options Load(ModelLoadContext context)
        {
            return new()
            {
                IdColumnName = context.LoadNonEmptyString(),
                TimeColumnName = context.LoadNonEmptyString(),
                ValueColumnNames = LoadNames(),
                ConstantColumnNames = LoadNames(),
                SeriesColumnName = context.LoadNonEmptyString(),
                TimesColumnName = context.LoadNonEmptyString(),
            };

            string[] LoadNames()
            {
                var names = new string[context.Reader.ReadInt32()];
                for (var i = 0; i < names.Length; i++)
                    names[i] = context.LoadNonEmptyString();
                return names;
            }
        }
    }
}
