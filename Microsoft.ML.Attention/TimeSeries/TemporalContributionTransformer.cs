using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(TemporalContributionTransformer), null, typeof(SignatureLoadModel),
    "Temporal contribution", TemporalContributionTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(TemporalContributionTransformer), null, typeof(SignatureLoadRowMapper),
    "Temporal contribution", TemporalContributionTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention;

/// <summary>
/// Explains predictions of a model of time series: what each variable added in each bin. It adds the columns <c>Contributions</c>, a vector
/// of float <c>[bins, variables]</c> whose sum is, nearly, how far the explained output is above that of a series of which nothing is known;
/// <c>VariableImportance</c>, the magnitude of the sum over the bins, and <c>TimeImportance</c>, that of the sum over the variables.
/// <c>TimeAttention</c>, a vector of a number a bin, and <c>VariableAttention</c>, one a variable (the mean over its columns), are what the
/// attention of the model looks at, as published, for the branches that it has. All of them tell of this model, and are no evidence of a
/// cause.
/// </summary>
public sealed class TemporalContributionTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "TemporalContribution";

    private readonly SeriesEncoder _encoder;
    private readonly TemporalColumns _columns;

    internal TemporalContributionTransformer(
        IHostEnvironment environment, ModelContent model, ScoringOptions scoring, SeriesEncoder encoder, TemporalColumns columns)
        : base(environment.Register(nameof(TemporalContributionTransformer)), model, scoring) => (_encoder, _columns) = (encoder, columns);

    /// <summary>The variables of the series, in the order of the columns' values.</summary>
    public IReadOnlyList<SeriesVariable> Variables => _encoder.Variables;

    /// <summary>The variables that move the model most over a data set, the first one most.</summary>
    /// <param name="data">The series.</param>
    public IReadOnlyList<KeyIndicator> KeyIndicators(IDataView data)
    {
        Host.CheckValue(data, nameof(data));
        var (importance, contribution, count) = (new double[Variables.Count], new double[Variables.Count], 0);
        foreach (var row in Transform(data).GetColumn<float[]>("Contributions").Where(row => !Array.Exists(row, float.IsNaN)))
        {
            count++;
            for (var variable = 0; variable < Variables.Count; variable++)
            {
                double sum = 0;
                for (var i = variable; i < row.Length; i += Variables.Count)
                    sum += row[i];
                importance[variable] += Math.Abs(sum);
                contribution[variable] += sum;
            }
        }
        return
        [
            .. Variables.Select((variable, i) => new KeyIndicator(
                    variable.Name, importance[i] / Math.Max(1, count), contribution[i] / Math.Max(1, count)))
                .OrderByDescending(indicator => indicator.Importance),
        ];
    }

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new TemporalContributionTransformer(Host, Model, scoring, _encoder, _columns);

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) =>
        [SeriesInput.Bind(schema, _columns, _encoder)];

    internal override IReadOnlyList<OutputColumn> GetOutputColumns() =>
    [
        TensorColumn.Create("Contributions", Session.Outputs[ContributionGraph.Contributions]),
        TensorColumn.Create("VariableImportance", Session.Outputs[ContributionGraph.VariableImportance]),
        TensorColumn.Create("TimeImportance", Session.Outputs[ContributionGraph.TimeImportance]),
        .. Attention("TimeAttention", ContributionGraph.TimeAttention),
        .. Attention("VariableAttention", ContributionGraph.VariableAttention),
    ];

    // A model of one branch has one of them.
    private IEnumerable<OutputColumn> Attention(string column, string output) =>
        Session.Outputs.TryGetValue(output, out var description) ? [TensorColumn.Create(column, description)] : [];

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        _encoder.Save(context);
        _columns.Save(context);
    }

    private static VersionInfo GetVersionInfo() => new("ATTNTCTR", 0x00010001, 0x00010001, 0x00010001,
        typeof(TemporalContributionTransformer).Assembly.FullName, LoaderSignature);

    private static TemporalContributionTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        var model = ModelContent.Load(context);
        return new(environment, model, scoring, SeriesEncoder.Load(context), TemporalColumns.Load(context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);
}

/// <summary>What a variable does to a model of time series.</summary>
/// <param name="Variable">Its name.</param>
/// <param name="Importance">The mean magnitude of what it adds to the explained output.</param>
/// <param name="Contribution">The mean of what it adds.</param>
public sealed record KeyIndicator(string Variable, double Importance, double Contribution);
