using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// Trains a model that predicts from multivariate time series: a temporal-spatial correlation attention network (<see cref="Tscan"/>), or
/// the mean of several. Normal values, means and deviations of the variables are taken from the training data and saved with the model.
/// The same seed gives the same model, bit for bit on the CPU of the same machine.
/// </summary>
public sealed partial class TemporalAttentionTrainer : IEstimator<TemporalAttentionTransformer>
{
    private const int MemberSeedStep = 7919;

    private readonly IHost _host;
    private readonly Options _options;
    private readonly TemporalTask _task;

    internal TemporalAttentionTrainer(IHostEnvironment environment, Options options, TemporalTask task)
    {
        _host = environment.Register(nameof(TemporalAttentionTrainer));
        options.Validate();
        (_options, _task) = (options, task);
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        _host.CheckValue(inputSchema, nameof(inputSchema));
        SeriesColumns.Check(inputSchema, _options.Columns);
        if (!inputSchema.TryFindColumn(_options.Columns.Label, out var label))
            throw _host.ExceptSchemaMismatch(nameof(inputSchema), "label", _options.Columns.Label);
        var added = _task.OutputShape(label).ToList();
        if (_options.Scoring.ErrorColumnName is { } error)
            added.Add(new(error, SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance, isKey: false));
        return new(inputSchema.Where(column => !added.Exists(a => a.Name == column.Name)).Concat(added));
    }

    /// <inheritdoc cref="Fit(IDataView, IDataView?)"/>
    public TemporalAttentionTransformer Fit(IDataView input) => Fit(input, null);

    /// <summary>Trains a model.</summary>
    /// <param name="trainSet">The series to learn from.</param>
    /// <param name="validationSet">Series to compare epochs by, with the same columns.</param>
    /// <exception cref="InvalidOperationException">Columns do not fit, there is nothing to learn from, or the loss diverges.</exception>
    /// <exception cref="InvalidDataException">A series cannot be read; the message names row and reason.</exception>
    /// <exception cref="OperationCanceledException"><see cref="Options.Cancellation"/> was cancelled.</exception>
    public TemporalAttentionTransformer Fit(IDataView trainSet, IDataView? validationSet)
    {
        _host.CheckValue(trainSet, nameof(trainSet));
        using var channel = _host.Start("Training");
        var label = trainSet.Schema.GetColumnOrNull(_options.Columns.Label)
            ?? throw _host.ExceptSchemaMismatch(nameof(trainSet), "label", _options.Columns.Label);
        _task.CheckLabel(label.Type);
        var task = _task.Bind(_host, label);
        var unfitted = new SeriesEncoder(_options.Preprocessing, Variables(SeriesColumns.Bind(trainSet.Schema, _options.Columns)));
        var samples = Read(trainSet, task, unfitted, channel);
        if (samples.Count == 0)
            throw new InvalidOperationException($"There is no series with a label in '{_options.Columns.Label}' to train on.");
        var encoder = unfitted.Fit(samples.Series);
        task = task.Fit(samples.Labels);
        var train = EncodedSeries.Of(samples, encoder, task);
        var validation = validationSet is null ? null : EncodedSeries.Of(Read(validationSet, task, encoder, channel), encoder, task);

        var architecture = _options.Architecture with
        {
            InputCount = encoder.ColumnCount,
            ColumnCount = _options.SeesFlags ? encoder.VariableColumnCount : encoder.UnflaggedColumnCount,
            MasksPadding = encoder.MasksPadding,
            BinCount = _options.Preprocessing.BinCount,
            HeadActivation = task.HeadActivation,
            OutputCount = task.OutputCount,
        };
        var seed = _options.Seed ?? _host.Rand.Next();
        var run = new TemporalTraining(_host, _options, architecture, encoder, task, train, validation, channel);
        var members = Enumerable.Range(0, _options.MemberCount)
            .Select(member => run.Train(member, unchecked(seed + (MemberSeedStep * member)))).ToArray();
        var model = new TscanEnsemble(architecture with { DropoutRate = 0 }, members.Length).Build(Joined(members));
        return new(_host, new ModelContent(model.ToBytes()), _options.Scoring, encoder, task) { Trace = new(run.Epochs) };
    }

    private SeriesSamples Read(IDataView data, TemporalTask task, SeriesEncoder encoder, IChannel channel) => SeriesSamples.Read(
        data, SeriesColumns.Bind(data.Schema, _options.Columns), task, encoder, _options.Scoring.BadInput, channel, _options.Cancellation);

    private IReadOnlyList<SeriesVariable> Variables(SeriesColumns columns)
    {
        if (_options.Variables is { } variables)
        {
            return columns.VariableCount is { } found && found != variables.Count
                ? throw new InvalidOperationException($"Column '{_options.Columns.Series}' has {found} variables, and "
                    + $"{nameof(Options)}.{nameof(Options.Variables)} lists {variables.Count}.")
                : variables;
        }
        var count = columns.VariableCount ?? throw new InvalidOperationException(
            $"Column '{_options.Columns.Series}' of type {columns.Series.Type} does not tell how many variables a series has: list them in "
            + $"{nameof(Options)}.{nameof(Options.Variables)}, or make it a vector of [rows, variables].");
        var names = columns.VariableNames ?? [.. Enumerable.Range(0, count).Select(i => $"{_options.Columns.Series}.{i}")];
        return [.. names.Select(name => new SeriesVariable(name))];
    }

    private static Checkpoint Joined(IReadOnlyDictionary<string, Onnx.Tensor>[] members) => new(
        members.SelectMany((weights, member) => weights.Select(pair => (Name: $"members.{member}.{pair.Key}", pair.Value)))
            .ToDictionary(pair => pair.Name, pair => pair.Value),
        "the trained members");
}
