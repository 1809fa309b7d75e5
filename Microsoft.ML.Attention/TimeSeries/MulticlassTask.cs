using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>One of several classes.</summary>
internal sealed class MulticlassTask(TemporalColumns columns, ClassLabels? labels) : TemporalTask(columns)
{
    public const byte KindOf = 2;

    public override int OutputCount => labels!.Count;

    public override int TargetCount => OutputCount;

    public override TscanHiddenActivation HeadActivation => TscanHiddenActivation.Softmax;

    protected override byte Kind => KindOf;

    public override void CheckLabel(DataViewType type)
    {
        if (type is not KeyDataViewType)
            throw WrongLabel(type, "a classifier needs a key: map it with mlContext.Transforms.Conversion.MapValueToKey");
    }

    public override TemporalTask Bind(IHost host, DataViewSchema.Column label) =>
        new MulticlassTask(Columns, ClassLabels.FromColumn(host, label));

    public override Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label)
    {
        var getter = row.GetGetter<uint>(label);
        return () =>
        {
            var key = 0u;
            getter(ref key);
            return [key == 0 ? float.NaN : key - 1];
        };
    }

    public override void Target(float[] label, Span<float> target)
    {
        target.Clear();
        target[(int)label[0]] = 1;
    }

    public override Value Loss(Value logits, Value targets) => Losses.CrossEntropy(logits, targets);

    public override double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target) => CrossEntropy(logits, target);

    public override IReadOnlyList<OutputColumn> CreateColumns() =>
        [new PredictedLabelColumn(Columns.PredictedLabel, Logits, labels!), new ScoreColumn(Columns.Score, Logits, labels!)];

    public override IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label)
    {
        var keyValues = label.Annotations.Where(annotation => annotation.Name == AnnotationUtils.Kinds.KeyValues);
        return
        [
            new(Columns.PredictedLabel, SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, true,
                new SchemaShape(keyValues.Concat(AnnotationUtils.GetTrainerOutputAnnotation()))),
            new(Columns.Score, SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single, false,
                new SchemaShape(AnnotationUtils.AnnotationsForMulticlassScoreColumn(label))),
        ];
    }

    protected override void SaveCore(ModelSaveContext context) => labels!.Save(context);
}
