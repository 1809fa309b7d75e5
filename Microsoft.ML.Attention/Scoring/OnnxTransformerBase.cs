using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// A transformer that runs an ONNX model: over the rows of a data view in batches, over single rows in a <c>PredictionEngine</c>.
/// It opens the model when it is first needed; threads may share it.
/// </summary>
public abstract class OnnxTransformerBase : ITransformer, IDisposable
{
    private readonly Lock _opening = new();
    private OnnxSession? _session;
    private long _badRowCount;

    private protected OnnxTransformerBase(IHost host, ModelContent model, ScoringOptions scoring)
    {
        scoring.Check(host);
        Host = host;
        Model = model;
        Scoring = scoring;
    }

    /// <summary>How the model is run.</summary>
    public ScoringOptions Scoring { get; }

    /// <summary>
    /// Where the model runs: <see cref="Attention.ExecutionProvider.Cpu"/> or <see cref="Attention.ExecutionProvider.Cuda"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">The model cannot be opened there.</exception>
    public ExecutionProvider ExecutionProvider => Session.Provider;

    /// <summary>Rows, since the transformer was made, whose input could not be read: see <see cref="BadInput.ScoreAsMissing"/>.</summary>
    public long BadRowCount => Interlocked.Read(ref _badRowCount);

    bool ITransformer.IsRowToRowMapper => true;

    private protected IHost Host { get; }

    private protected ModelContent Model { get; }

    internal OnnxSession Session
    {
        get
        {
            lock (_opening)
                return _session ??= OnnxSession.Open(Host, Model, Scoring.Session);
        }
    }

    /// <summary>Runs of the model since it was opened.</summary>
    internal long RunCount => _session?.RunCount ?? 0;

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) =>
        CreateView(new EmptyDataView(Host, inputSchema), CancellationToken.None).Schema;

    /// <inheritdoc/>
    public IDataView Transform(IDataView input) => Transform(input, CancellationToken.None);

    /// <summary>
    /// Adds the model's columns to the data. Like any transform it is lazy: rows are scored when somebody reads the columns.
    /// </summary>
    /// <param name="input">The data.</param>
    /// <param name="cancellation">Ends reading the result with an <see cref="OperationCanceledException"/>, even in mid-batch.</param>
    public IDataView Transform(IDataView input, CancellationToken cancellation)
    {
        Host.CheckValue(input, nameof(input));
        return CreateView(input, cancellation);
    }

    /// <summary>
    /// Closes the model. Cursors and prediction engines that are under way end; a new use of the transformer opens the model again.
    /// </summary>
    public void Dispose()
    {
        lock (_opening)
        {
            _session?.Dispose();
            _session = null;
        }
        GC.SuppressFinalize(this);
    }

    IRowToRowMapper ITransformer.GetRowToRowMapper(DataViewSchema inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        return new RowToRowMapperTransform(Host, new EmptyDataView(Host, inputSchema), Bind(inputSchema), Bind);
    }

    void ICanSaveModel.Save(ModelSaveContext ctx) => Save(ctx);

    /// <summary>The same model, run in another way.</summary>
    internal abstract OnnxTransformerBase WithScoring(ScoringOptions scoring);

    /// <summary>Says how the columns of a schema feed the model's inputs; checks that they fit.</summary>
    internal abstract IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema);

    /// <summary>The columns that the transformer adds, <see cref="ScoringOptions.ErrorColumnName"/> apart.</summary>
    internal abstract IReadOnlyList<OutputColumn> GetOutputColumns();

    /// <summary>Writes version information, <see cref="SaveModelAndOptions"/> and what else <c>Create</c> needs.</summary>
    private protected abstract void SaveCore(ModelSaveContext context);

    private protected void SaveModelAndOptions(ModelSaveContext context)
    {
        Scoring.Save(context);
        Model.Save(context);
    }

    internal void Save(ModelSaveContext context)
    {
        Host.CheckValue(context, nameof(context));
        context.CheckAtModel();
        SaveCore(context);
    }

    /// <summary>Throws for a row that could not be read, or warns of it and counts it.</summary>
    internal void ReportBadRow(long row, Exception failure, IChannel channel)
    {
        var message = $"row {row}: {failure.Message}";
        if (Scoring.BadInput == BadInput.Throw)
            throw new InvalidDataException($"{message} (set BadInput to ScoreAsMissing to go on without such rows)", failure);
        Interlocked.Increment(ref _badRowCount);
        channel.Warning(message);
    }

    /// <summary>The rows with the transformer's columns: scored in batches, unless a transformer has another way.</summary>
    private protected virtual IDataView CreateView(IDataView input, CancellationToken cancellation) =>
        new BatchingDataView(Host, new BoundScorer(Host, this, input.Schema), input, cancellation);

    /// <summary>Scores single rows.</summary>
    private protected virtual IRowMapper Bind(DataViewSchema schema) => new BoundScorer(Host, this, schema);
}
