using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>Trains a classifier: takes the classes from the label column and promises ML.NET's columns.</summary>
/// <typeparam name="TTransformer">The classifier.</typeparam>
public abstract class ClassifierTrainerBase<TTransformer> : IEstimator<TTransformer>
    where TTransformer : OnnxClassifierBase
{
    private protected ClassifierTrainerBase(IHost host, ClassifierColumns columns)
    {
        Host = host;
        Columns = columns;
    }

    /// <summary>The columns that are read and added.</summary>
    public ClassifierColumns Columns { get; }

    private protected IHost Host { get; }

    /// <inheritdoc/>
    public TTransformer Fit(IDataView input) => Fit(input, null);

    /// <summary>Trains a classifier, watching its accuracy on data that it does not learn from.</summary>
    /// <param name="trainSet">The rows to learn from.</param>
    /// <param name="validationSet">Rows to measure on, with the same columns.</param>
    public TTransformer Fit(IDataView trainSet, IDataView? validationSet)
    {
        Host.CheckValue(trainSet, nameof(trainSet));
        var label = trainSet.Schema.GetColumnOrNull(Columns.Label)
            ?? throw Host.ExceptSchemaMismatch(nameof(trainSet), "label", Columns.Label);
        return Train(trainSet, validationSet, ClassLabels.FromColumn(Host, label));
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        Host.CheckValue(inputSchema, nameof(inputSchema));
        if (!inputSchema.TryFindColumn(Columns.Label, out var label))
            throw Host.ExceptSchemaMismatch(nameof(inputSchema), "label", Columns.Label);
        if (!label.IsKey || label.Kind != SchemaShape.Column.VectorKind.Scalar)
            throw Host.ExceptSchemaMismatch(nameof(inputSchema), "label", Columns.Label, "key", label.GetTypeString());
        CheckInput(inputSchema);

        var keyValues = label.Annotations.Where(a => a.Name == AnnotationUtils.Kinds.KeyValues);
        SchemaShape.Column[] added =
        [
            new(Columns.PredictedLabel, SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, true,
                new SchemaShape(keyValues.Concat(AnnotationUtils.GetTrainerOutputAnnotation()))),
            new(Columns.Score, SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single, false,
                new SchemaShape(AnnotationUtils.AnnotationsForMulticlassScoreColumn(label))),
        ];
        return new(inputSchema.Where(c => !added.Any(a => a.Name == c.Name)).Concat(added));
    }

    /// <summary>Checks the columns that the classifier reads, the label apart.</summary>
    private protected abstract void CheckInput(SchemaShape inputSchema);

    private protected abstract TTransformer Train(IDataView trainSet, IDataView? validationSet, ClassLabels labels);
}
