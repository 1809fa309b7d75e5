using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// A classifier that is an ONNX model of one output, the logits of shape <c>[N, classes]</c>. It adds the columns that ML.NET's classifiers
/// add: the scores (probabilities, which sum to 1) and the predicted label (a key with the training label's values).
/// </summary>
public abstract class OnnxClassifierBase : OnnxTransformerBase
{
    private protected OnnxClassifierBase(IHost host, ModelContent model, ScoringOptions scoring, ClassifierColumns columns,
        ClassLabels labels)
        : base(host, model, scoring)
    {
        Columns = columns;
        Labels = labels;
    }

    /// <summary>The columns that the classifier adds.</summary>
    public ClassifierColumns Columns { get; }

    /// <summary>The classes as text, in the order of the scores; empty where the label had no key values.</summary>
    public IReadOnlyList<string> Classes => Array.ConvertAll(Labels.Names().GetValues().ToArray(), name => name.ToString());

    private protected ClassLabels Labels { get; }

    internal sealed override IReadOnlyList<OutputColumn> GetOutputColumns()
    {
        string logits = Session.OutputNames[0];
        var output = Session.Outputs[logits];
        if (output is not { ElementType: TensorElementType.Float, Dimensions.Length: 2 } || output.Dimensions[1] != Labels.Count)
        {
            throw new InvalidOperationException($"Output '{logits}' of {Model.DisplayName} has shape {output.ShapeText} "
                + $"of {output.ElementType}; a classifier of {Labels.Count} classes gives [N, {Labels.Count}] of Float.");
        }
        return [new PredictedLabelColumn(Columns.PredictedLabel, logits, Labels), new ScoreColumn(Columns.Score, logits, Labels)];
    }

    /// <summary>Writes the model, the options, the columns and the classes; <see cref="LoadedClassifier.Load"/> reads them.</summary>
    private protected void SaveClassifier(ModelSaveContext context)
    {
        SaveModelAndOptions(context);
        Columns.Save(context);
        Labels.Save(context);
    }
}

/// <summary>What <see cref="OnnxClassifierBase.SaveClassifier"/> wrote.</summary>
internal sealed record LoadedClassifier(ModelContent Model, ScoringOptions Scoring, ClassifierColumns Columns, ClassLabels Labels)
{
    public static LoadedClassifier Load(IHost host, ModelLoadContext context)
    {
        var scoring = ScoringOptions.Load(context);
        return new(ModelContent.Load(context), scoring, ClassifierColumns.Load(context), ClassLabels.Load(host, context));
    }
}
