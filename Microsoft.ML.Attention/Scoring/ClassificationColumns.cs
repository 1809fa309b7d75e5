using System.Numerics.Tensors;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>
/// A classifier's probabilities from the logits that the model gives: what <c>MulticlassClassification.Evaluate</c> reads.
/// </summary>
/// <param name="name">The column's name.</param>
/// <param name="logits">The model's output of one number a class.</param>
/// <param name="labels">The classes.</param>
internal sealed class ScoreColumn(string name, string logits, ClassLabels labels) : OutputColumn(name, logits)
{
    public override DataViewType Type => new VectorDataViewType(NumberDataViewType.Single, labels.Count);

    public override Delegate CreateGetter(ScoredRow row)
    {
        int output = row.OutputIndex(logits);
        return (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) =>
        {
            var editor = VBufferEditor.Create(ref value, labels.Count);
            if (row.Failure is null)
                Softmax(row.Tensor<float>(output), editor.Values);
            else
                editor.Values.Fill(float.NaN);
            value = editor.Commit();
        });
    }

    protected override void Annotate(DataViewSchema.Annotations.Builder annotations)
    {
        labels.AddSlotNames(annotations);
        ClassifierAnnotations.Add(annotations, AnnotationUtils.Const.ScoreValueKind.Score);
    }

    private static void Softmax(ReadOnlySpan<float> logits, Span<float> probabilities)
    {
        TensorPrimitives.Subtract(logits, TensorPrimitives.Max(logits), probabilities);
        TensorPrimitives.Exp(probabilities, probabilities);
        TensorPrimitives.Divide(probabilities, TensorPrimitives.Sum<float>(probabilities), probabilities);
    }
}

/// <summary>The class with the highest score, as a key of the label's type; missing where the row could not be scored.</summary>
/// <inheritdoc cref="ScoreColumn"/>
internal sealed class PredictedLabelColumn(string name, string logits, ClassLabels labels) : OutputColumn(name, logits)
{
    public override DataViewType Type => labels.KeyType;

    public override Delegate CreateGetter(ScoredRow row)
    {
        int output = row.OutputIndex(logits);
        return (ValueGetter<uint>)((ref uint value) => value = row.Failure is null ? ArgMax(row.Tensor<float>(output)) : 0);
    }

    protected override void Annotate(DataViewSchema.Annotations.Builder annotations)
    {
        labels.AddKeyValues(annotations);
        ClassifierAnnotations.Add(annotations, AnnotationUtils.Const.ScoreValueKind.PredictedLabel);
    }

    private static uint ArgMax(ReadOnlySpan<float> scores)
    {
        int index = TensorPrimitives.IndexOfMax(scores);
        return float.IsNaN(scores[index]) ? 0 : (uint)index + 1;
    }
}

/// <summary>What ML.NET's evaluators look for on a predictor's columns.</summary>
internal static class ClassifierAnnotations
{
    public static void Add(
        DataViewSchema.Annotations.Builder annotations, string valueKind,
        string columnKind = AnnotationUtils.Const.ScoreColumnKind.MulticlassClassification)
    {
        annotations.AddPrimitiveValue(AnnotationUtils.Kinds.ScoreColumnSetId, AnnotationUtils.ScoreColumnSetIdType, 1u);
        annotations.AddPrimitiveValue(AnnotationUtils.Kinds.ScoreColumnKind, TextDataViewType.Instance, columnKind.AsMemory());
        annotations.AddPrimitiveValue(AnnotationUtils.Kinds.ScoreValueKind, TextDataViewType.Instance, valueKind.AsMemory());
    }
}
