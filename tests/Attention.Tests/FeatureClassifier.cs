using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Tests;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

[assembly: LoadableClass(typeof(FeatureClassifier), null, typeof(SignatureLoadModel),
    "Feature classifier", FeatureClassifier.LoaderSignature)]

namespace Microsoft.ML.Attention.Tests;

/// <summary>The least classifier on the base classes: logits are the three features.</summary>
internal sealed class FeatureClassifier : OnnxClassifierBase
{
    internal const string LoaderSignature = "TestFeatureClassifier";

    private FeatureClassifier(IHost host, LoadedClassifier parts)
        : base(host, parts.Model, parts.Scoring, parts.Columns, parts.Labels)
    {
    }

    internal override OnnxTransformerBase WithScoring(ScoringOptions scoring) =>
        new FeatureClassifier(Host, new(Model, scoring, Columns, Labels));

    internal override IReadOnlyList<TensorInput> BindInputs(DataViewSchema schema) =>
        [ColumnInput.Create(Session.Inputs["x"], schema, "Features")];

    private protected override void SaveCore(ModelSaveContext context)
    {
        context.SetVersionInfo(GetVersionInfo());
        SaveClassifier(context);
    }

    private static VersionInfo GetVersionInfo() =>
        new("TESTCLAS", 0x00010001, 0x00010001, 0x00010001, typeof(FeatureClassifier).Assembly.FullName, LoaderSignature);

    private static FeatureClassifier Create(IHostEnvironment environment, ModelLoadContext context)
    {
        context.CheckAtModel(GetVersionInfo());
        var host = environment.Register(nameof(FeatureClassifier));
        return new(host, LoadedClassifier.Load(host, context));
    }

    /// <summary>"Trains" it.</summary>
    internal sealed class Trainer(IHostEnvironment environment, ClassifierColumns columns)
        : ClassifierTrainerBase<FeatureClassifier>(environment.Register("Trainer"), columns)
    {
        private protected override void CheckInput(SchemaShape inputSchema) => Assert.Contains(inputSchema, c => c.Name == "Features");

        private protected override FeatureClassifier Train(IDataView trainSet, IDataView? validationSet, ClassLabels labels) =>
            new(Host, new(new ModelContent(TestModels.Classifier()), new(), Columns, labels));
    }
}
