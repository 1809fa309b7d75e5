using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(GroupTimeSeriesTransformer), null, typeof(SignatureLoadModel),
    "Time series grouping", GroupTimeSeriesTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention;

/// <summary>Makes one row a series: see <see cref="GroupTimeSeriesEstimator"/>. It reads its input once, in order.</summary>
public sealed class GroupTimeSeriesTransformer : ITransformer
{
    internal const string LoaderSignature = "GroupTimeSeries";

    private readonly IHost _host;
    private readonly GroupTimeSeriesEstimator.Options _options;

    internal GroupTimeSeriesTransformer(IHostEnvironment environment, GroupTimeSeriesEstimator.Options options)
    {
        _host = environment.Register(nameof(GroupTimeSeriesTransformer));
        _options = options;
    }

    bool ITransformer.IsRowToRowMapper => false;

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema)
    {
        _host.CheckValue(inputSchema, nameof(inputSchema));
        return new GroupedColumns(inputSchema, _options).Schema;
    }

    /// <inheritdoc/>
    public IDataView Transform(IDataView input)
    {
        _host.CheckValue(input, nameof(input));
        return new GroupedDataView(_host, input, new(input.Schema, _options));
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException(
        "Grouping makes one row of many, so there is no prediction from a single row: make the prediction engine of the transformers "
        + "after it, whose input is a series.");

    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        _host.CheckValue(ctx, nameof(ctx));
        ctx.CheckAtModel();
        ctx.SetVersionInfo(GetVersionInfo());
        _options.Save(ctx);
    }

    private static VersionInfo GetVersionInfo() => new("ATTNGRPS", 0x00010001, 0x00010001, 0x00010001,
        typeof(GroupTimeSeriesTransformer).Assembly.FullName, LoaderSignature);

    private static GroupTimeSeriesTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        return new(environment, GroupTimeSeriesEstimator.Options.Load(context));
    }
}
