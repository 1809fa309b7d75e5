using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>Several questions of yes or no, such as the conditions of a patient.</summary>
/// <param name="columns">The columns.</param>
/// <param name="count">The number of labels.</param>
/// <param name="names">Their names; empty if they have none.</param>
internal sealed class MultiLabelTask(TemporalColumns columns, int count, string[] names) : TemporalTask(columns)
{
    public const byte KindOf = 5;

    private const string ScoreColumnKind = "MultiLabelClassification";

    public override int OutputCount => count;

    public override int TargetCount => count;

    public override TscanHiddenActivation HeadActivation => TscanHiddenActivation.Sigmoid;

    protected override byte Kind => KindOf;

    public override void CheckLabel(DataViewType type)
    {
        if (type is not VectorDataViewType { IsKnownSize: true, ItemType.RawType: var raw } || (raw != typeof(bool) && raw != typeof(float)))
            throw WrongLabel(type, "several labels are a vector of bool or float (0 or 1) of known size");
    }

    public override TemporalTask Bind(IHost host, DataViewSchema.Column label)
    {
        VBuffer<ReadOnlyMemory<char>> slots = default;
        if (label.HasSlotNames())
            label.GetSlotNames(ref slots);
        return new MultiLabelTask(
            Columns, ((VectorDataViewType)label.Type).Size, [.. slots.DenseValues().Select(name => name.ToString())]);
    }

    public override Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label) =>
        label.Type.GetItemType().RawType == typeof(bool)
            ? CreateReader(row.GetGetter<VBuffer<bool>>(label), value => value ? 1 : 0)
            : CreateReader(row.GetGetter<VBuffer<float>>(label), value => value);

    public override void Target(float[] label, Span<float> target) => label.CopyTo(target);

    public override Value Loss(Value logits, Value targets) => Losses.BinaryCrossEntropy(logits, targets);

    public override double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target)
    {
        double loss = 0;
        for (var i = 0; i < count; i++)
            loss += Softplus(logits[i]) - (target[i] * logits[i]);
        return loss / count;
    }

    public override IReadOnlyList<OutputColumn> CreateColumns() =>
    [
        new LogitsVectorColumn<bool>(Columns.PredictedLabel, BooleanDataViewType.Instance, count, names,
            ("PredictedLabel", ScoreColumnKind), false, logit => logit > 0),
        new LogitsVectorColumn<float>(Columns.Score, NumberDataViewType.Single, count, names,
            ("Score", ScoreColumnKind), float.NaN, Sigmoid),
    ];

    public override IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label) =>
        [Vector(Columns.PredictedLabel, BooleanDataViewType.Instance), Vector(Columns.Score, NumberDataViewType.Single)];

    protected override void SaveCore(ModelSaveContext context)
    {
        context.Writer.Write(count);
        context.Writer.Write(names.Length);
        foreach (var name in names)
            context.SaveString(name);
    }

    public static MultiLabelTask Load(TemporalColumns columns, ModelLoadContext context)
    {
        var count = context.Reader.ReadInt32();
        var names = new string[context.Reader.ReadInt32()];
        for (var i = 0; i < names.Length; i++)
            names[i] = context.LoadString();
        return new(columns, count, names);
    }

    private static Func<float[]> CreateReader<T>(ValueGetter<VBuffer<T>> getter, Converter<T, float> convert)
    {
        VBuffer<T> values = default;
        return () =>
        {
            getter(ref values);
            return Array.ConvertAll(values.DenseValues().ToArray(), convert);
        };
    }
}
