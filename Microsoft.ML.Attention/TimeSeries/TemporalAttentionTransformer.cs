using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(TemporalAttentionTransformer), null, typeof(SignatureLoadModel),
    "Temporal attention", TemporalAttentionTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(TemporalAttentionTransformer), null, typeof(SignatureLoadRowMapper),
    "Temporal attention", TemporalAttentionTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention;

/// <summary>Predicts from time series, what <see cref="TemporalAttentionTrainer"/> has trained it for.</summary>
public sealed class TemporalAttentionTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "TemporalAttention";

    internal TemporalAttentionTransformer(
        IHostEnvironment environment, ModelContent model, ScoringOptions scoring, SeriesEncoder encoder, TemporalTask task)
        : base(environment.Register(nameof(TemporalAttentionTransformer)), model, scoring) => (Encoder, Task) = (encoder, task);

    /// <summary>The columns that are read and added.</summary>
    public TemporalColumns Columns => Task.Columns;

    /// <summary>The variables of the series; those without a normal value have got that of the training data.</summary>
    public IReadOnlyList<SeriesVariable> Variables => Encoder.Variables;

    /// <summary>How series become the bins that the model reads.</summary>
    public SeriesPreprocessing Preprocessing => Encoder.Preprocessing;

    /// <summary>What happened in the training; null for a model that was loaded.</summary>
    public TemporalTrace? Trace { get; init; }

    /// <summary>Makes a transformer that explains this one's predictions.</summary>
    /// <param name="output">
    /// The class or label whose score is explained, by its place among the scores; null for that with the highest score of each series.
    /// </param>
    /// <param name="stepCount">The points at which the model is run for each series: more are more exact, and slower.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such output, or no step.</exception>
    public TemporalContributionTransformer Explain(int? output = null, int stepCount = 16)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(stepCount);
        ArgumentOutOfRangeException.ThrowIfNegative(output ?? 0, nameof(output));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(output ?? 0, Task.OutputCount, nameof(output));
        var graph = ContributionGraph.Build(TscanEnsemble.WithAttention(OnnxModel.Load(Model.Bytes.Span)), Encoder, output, stepCount);
        return new(Host, new ModelContent(graph.ToBytes()), Scoring, Encoder, Columns);
    }

    internal SeriesEncoder Encoder { get; }

    internal TemporalTask Task { get; }

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new TemporalAttentionTransformer(Host, Model, scoring, Encoder, Task) { Trace = Trace };

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) => [SeriesInput.Bind(schema, Columns, Encoder)];

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() => Task.CreateColumns();

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        Encoder.Save(context);
        Task.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new("ATTNTSCN", 0x00010001, 0x00010001, 0x00010001,
        typeof(TemporalAttentionTransformer).Assembly.FullName, LoaderSignature);

    private static TemporalAttentionTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        var model = ModelContent.Load(context);
        var encoder = SeriesEncoder.Load(context);
        return new(environment, model, scoring, encoder, TemporalTask.Load(environment.Register(nameof(TemporalAttentionTransformer)), context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}
