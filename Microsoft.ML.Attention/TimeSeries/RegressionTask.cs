using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>An amount, which the model tells in deviations from the mean of the training labels.</summary>
internal sealed class RegressionTask(TemporalColumns columns, float mean = 0, float deviation = 1) : TemporalTask(columns)
{
    public const byte KindOf = 3;

    public override int OutputCount => 1;

    public override int TargetCount => 1;

    public override TscanHiddenActivation HeadActivation => TscanHiddenActivation.Relu;

    protected override byte Kind => KindOf;

    public override void CheckLabel(DataViewType type)
    {
        if (type is not NumberDataViewType { RawType: var raw } || raw != typeof(float))
            throw WrongLabel(type, "regression needs a float: convert it with mlContext.Transforms.Conversion.ConvertType");
    }

    public override Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label)
    {
        var getter = row.GetGetter<float>(label);
        return () =>
        {
            var value = 0f;
            getter(ref value);
            return [value];
        };
    }

    public override TemporalTask Fit(IReadOnlyList<float[]> labels)
    {
        var average = labels.Average(label => (double)label[0]);
        var variance = labels.Average(label => Math.Pow(label[0] - average, 2));
        return new RegressionTask(Columns, (float)average, (float)Math.Max(1e-7, Math.Sqrt(variance)));
    }

    public override void Target(float[] label, Span<float> target) => target[0] = (label[0] - mean) / deviation;

    public override Value Loss(Value logits, Value targets) => Losses.MeanSquaredError(logits, targets);

    public override double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target) => Math.Pow(logits[0] - target[0], 2);

    public override IReadOnlyList<OutputColumn> CreateColumns() =>
    [
        new LogitsColumn<float>(
            Columns.Score, NumberDataViewType.Single, ("Score", AnnotationUtils.Const.ScoreColumnKind.Regression), float.NaN,
            logits => (logits[0] * deviation) + mean),
    ];

    public override IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label) =>
        [Scalar(Columns.Score, NumberDataViewType.Single)];

    protected override void SaveCore(ModelSaveContext context)
    {
        context.Writer.Write(mean);
        context.Writer.Write(deviation);
    }

    public static RegressionTask Load(TemporalColumns columns, ModelLoadContext context) =>
        new(columns, context.Reader.ReadSingle(), context.Reader.ReadSingle());
}
