using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>A transformer bound to the schema of a source: which columns it reads, which it adds, and how rows are scored.</summary>
internal sealed class BoundScorer : IRowMapper
{
    private readonly IHost _host;
    private readonly OnnxTransformerBase _transformer;
    private readonly OutputColumn[] _outputs;
    private readonly DataViewSchema.DetachedColumn[] _described;

    public BoundScorer(IHost host, OnnxTransformerBase transformer, DataViewSchema inputSchema)
    {
        _host = host;
        _transformer = transformer;
        Inputs = transformer.BindInputs(inputSchema);
        _outputs = [.. transformer.GetOutputColumns()];
        if (transformer.Scoring.ErrorColumnName is { } errorColumn)
            _outputs = [.. _outputs, new ErrorColumn(errorColumn)];
        _described = Array.ConvertAll(_outputs, o => o.Describe());
        Bindings = new ColumnBindings(inputSchema, _described);
    }

    public ColumnBindings Bindings { get; }

    public DataViewSchema InputSchema => Bindings.InputSchema;

    public DataViewSchema OutputSchema => Bindings.Schema;

    public IReadOnlyList<TensorInput> Inputs { get; }

    /// <summary>Which of the added columns are active where these columns of the output schema are.</summary>
    public Func<int, bool> ActiveOutputs(bool[] active) => output => active[Bindings.AddedColumnIndices[output]];

    /// <summary>The source columns that active columns need, to pass on or to score.</summary>
    public IEnumerable<DataViewSchema.Column> SourceColumns(bool[] active)
    {
        bool[] passing = Bindings.GetActiveInput(c => active[c]);
        var read = GetDependencies(ActiveOutputs(active));
        return InputSchema.Where(c => passing[c.Index] || read(c.Index));
    }

    /// <summary>A batch that computes what the active outputs need.</summary>
    public ScoringBatch CreateBatch(Func<int, bool> activeOutput, int? rows = null) =>
        new(_transformer.Session, Inputs, ActiveModelOutputs(activeOutput), rows ?? _transformer.Scoring.BatchSize);

    /// <summary>Getters of the active outputs, null for the others.</summary>
    public Delegate?[] CreateGetters(ScoredRow row, Func<int, bool> activeOutput) =>
        _outputs.Select((output, i) => activeOutput(i) ? output.CreateGetter(row) : null).ToArray();

    /// <summary>Throws for, or warns of and counts, the rows of a batch that could not be read.</summary>
    public void Report(ScoringBatch batch, IChannel channel)
    {
        for (int slot = 0; slot < batch.Count; slot++)
        {
            if (batch.Failure(slot) is { } failure)
                _transformer.ReportBadRow(batch.FirstRow + slot, failure, channel);
        }
    }

    public DataViewSchema.DetachedColumn[] GetOutputColumns() => _described;

    public ITransformer GetTransformer() => _transformer;

    public void Save(ModelSaveContext ctx) => _transformer.Save(ctx);

    public Func<int, bool> GetDependencies(Func<int, bool> activeOutput)
    {
        if (!Enumerable.Range(0, _outputs.Length).Any(activeOutput))
            return _ => false;
        var columns = Inputs.SelectMany(i => i.Columns).ToHashSet();
        return columns.Contains;
    }

    public Delegate?[] CreateGetters(DataViewRow input, Func<int, bool> activeOutput, out Action? disposer)
    {
        var row = new SingleRow(_host, this, input, activeOutput);
        disposer = row.Dispose;
        return CreateGetters(row, activeOutput);
    }

    private string[] ActiveModelOutputs(Func<int, bool> activeOutput) =>
        _outputs.Where((_, i) => activeOutput(i)).SelectMany(o => o.ModelOutputs).Distinct().ToArray();
}
