using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(OnnxBatchScoringTransformer), null, typeof(SignatureLoadModel),
    "ONNX batch scoring", OnnxBatchScoringTransformer.LoaderSignature)]
[assembly: LoadableClass(typeof(IRowMapper), typeof(OnnxBatchScoringTransformer), null, typeof(SignatureLoadRowMapper),
    "ONNX batch scoring", OnnxBatchScoringTransformer.LoaderSignature)]

namespace Microsoft.ML.Attention;

/// <summary>Scores any ONNX model in batches: see <see cref="OnnxBatchScoringEstimator"/>.</summary>
public sealed class OnnxBatchScoringTransformer : OnnxTransformerBase
{
    internal const string LoaderSignature = "OnnxBatchScoring";

    private readonly IReadOnlyDictionary<string, string> _inputColumns;
    private readonly IReadOnlyDictionary<string, string> _outputColumns;

    internal OnnxBatchScoringTransformer(IHostEnvironment environment, ModelContent model, ScoringOptions scoring,
        IReadOnlyDictionary<string, string> inputColumns, IReadOnlyDictionary<string, string> outputColumns)
        : base(environment.Register(nameof(OnnxBatchScoringTransformer)), model, scoring)
    {
        _inputColumns = inputColumns;
        _outputColumns = outputColumns;
    }

    /// <summary>For each input of the model the column that feeds it.</summary>
    internal IEnumerable<(string Input, string Column)> InputColumns =>
        Session.Inputs.Keys.Select(input => (input, _inputColumns.GetValueOrDefault(input, input)));

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new OnnxBatchScoringTransformer(Host, Model, scoring, _inputColumns, _outputColumns);

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema)
    {
        CheckNames("input", _inputColumns.Keys, Session.Inputs.Keys);
        return InputColumns.Select(i => ColumnInput.Create(Session.Inputs[i.Input], schema, i.Column)).ToArray();
    }

    internal override IReadOnlyList<OutputColumn> GetOutputColumns()
    {
        CheckNames("output", _outputColumns.Keys, Session.Outputs.Keys);
        if (_outputColumns.Count > 0)
            return _outputColumns.Select(o => TensorColumn.Create(o.Value, Session.Outputs[o.Key])).ToArray();
        return Session.OutputNames.Where(Session.Outputs.ContainsKey).Select(o => TensorColumn.Create(o, Session.Outputs[o])).ToArray();
    }

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveModelAndOptions(context);
        SaveNames(context, _inputColumns);
        SaveNames(context, _outputColumns);
    }

    private static VersionInfo GetVersionInfo() => new("ATTNSCOR", 0x00010001, 0x00010001, 0x00010001,
        typeof(OnnxBatchScoringTransformer).Assembly.FullName, LoaderSignature);

    private static OnnxBatchScoringTransformer Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var scoring = ScoringOptions.Load(context);
        return new(environment, ModelContent.Load(context), scoring, LoadNames(context), LoadNames(context));
    }

    private static IRowMapper Create(IHostEnvironment environment, ModelLoadContext context, DataViewSchema schema) =>
        Create(environment, context).Bind(schema);

    private static void SaveNames(ModelSaveContext context, IReadOnlyDictionary<string, string> names)
    {
        context.Writer.Write(names.Count);
        foreach (var (tensor, column) in names)
        {
            context.SaveNonEmptyString(tensor);
            context.SaveNonEmptyString(column);
        }
    }

    private static Dictionary<string, string> LoadNames(ModelLoadContext context)
    {
        var names = new Dictionary<string, string>();
        for (int count = context.Reader.ReadInt32(); count > 0; count--)
        {
            string tensor = context.LoadNonEmptyString();
            names.Add(tensor, context.LoadNonEmptyString());
        }
        return names;
    }

    private void CheckNames(string kind, IEnumerable<string> asked, IEnumerable<string> there)
    {
        if (asked.Except(there).FirstOrDefault() is { } unknown)
        {
            throw new InvalidOperationException($"{Model.DisplayName} has no tensor {kind} '{unknown}'; "
                + $"it has {string.Join(", ", there.Select(n => $"'{n}'"))}.");
        }
    }
}
