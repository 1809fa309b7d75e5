using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>Yes or no, such as death in hospital.</summary>
internal sealed class BinaryTask(TemporalColumns columns) : TemporalTask(columns)
{
    public const byte KindOf = 1;

    public override int OutputCount => 1;

    public override int TargetCount => 1;

    public override TscanHiddenActivation HeadActivation => TscanHiddenActivation.Sigmoid;

    protected override byte Kind => KindOf;

    public override void CheckLabel(DataViewType type)
    {
        if (type is not BooleanDataViewType)
            throw WrongLabel(type, "binary classification needs a bool: convert it with mlContext.Transforms.Conversion.ConvertType");
    }

    public override Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label)
    {
        var getter = row.GetGetter<bool>(label);
        return () =>
        {
            var value = false;
            getter(ref value);
            return [value ? 1 : 0];
        };
    }

    public override void Target(float[] label, Span<float> target) => target[0] = label[0];

    public override Value Loss(Value logits, Value targets) => Losses.BinaryCrossEntropy(logits, targets);

    public override double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target) => Softplus(logits[0]) - (target[0] * logits[0]);

    public override IReadOnlyList<OutputColumn> CreateColumns() =>
    [
        new LogitsColumn<bool>(Columns.PredictedLabel, BooleanDataViewType.Instance, Kinds("PredictedLabel"), false, logits => logits[0] > 0),
        new LogitsColumn<float>(Columns.Score, NumberDataViewType.Single, Kinds("Score"), float.NaN, logits => logits[0]),
        new LogitsColumn<float>(
            Columns.Probability, NumberDataViewType.Single, Kinds("Probability"), float.NaN, logits => Sigmoid(logits[0])),
    ];

    public override IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label) =>
    [
        Scalar(Columns.PredictedLabel, BooleanDataViewType.Instance),
        Scalar(Columns.Score, NumberDataViewType.Single),
        Scalar(Columns.Probability, NumberDataViewType.Single),
    ];

    private static (string Value, string Task) Kinds(string value) =>
        (value, AnnotationUtils.Const.ScoreColumnKind.BinaryClassification);
}
