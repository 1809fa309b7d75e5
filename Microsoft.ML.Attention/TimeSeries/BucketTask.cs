using System.Numerics.Tensors;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;
using Microsoft.ML.Internal.Utilities;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// An amount by buckets, such as the length of a stay: the model chooses a bucket, and the prediction is the mean of the training labels
/// in it.
/// </summary>
/// <param name="columns">The columns.</param>
/// <param name="edges">Where buckets meet, ascending; an amount on an edge belongs to the bucket above.</param>
/// <param name="means">The mean of each bucket.</param>
internal sealed class BucketTask(TemporalColumns columns, float[] edges, float[] means) : TemporalTask(columns)
{
    public const byte KindOf = 4;

    public override int OutputCount => edges.Length + 1;

    public override int TargetCount => OutputCount;

    public override TscanHiddenActivation HeadActivation => TscanHiddenActivation.Softmax;

    protected override byte Kind => KindOf;

    public override void CheckLabel(DataViewType type) => new RegressionTask(Columns).CheckLabel(type);

    public override Func<float[]> CreateReader(DataViewRow row, DataViewSchema.Column label) =>
        new RegressionTask(Columns).CreateReader(row, label);

    public override TemporalTask Fit(IReadOnlyList<float[]> labels)
    {
        var groups = labels.Select(label => label[0]).ToLookup(BucketOf);
        // A bucket that no training label is in has the amount in its middle.
        return new BucketTask(Columns, edges, [.. Enumerable.Range(0, OutputCount).Select(bucket => groups[bucket].Any()
            ? groups[bucket].Average()
            : (edges[Math.Max(0, bucket - 1)] + edges[Math.Min(bucket, edges.Length - 1)]) / 2)]);
    }

    public override void Target(float[] label, Span<float> target)
    {
        target.Clear();
        target[BucketOf(label[0])] = 1;
    }

    public override Value Loss(Value logits, Value targets) => Losses.CrossEntropy(logits, targets);

    public override double Loss(ReadOnlySpan<float> logits, ReadOnlySpan<float> target) => CrossEntropy(logits, target);

    public override IReadOnlyList<OutputColumn> CreateColumns() =>
    [
        new LogitsColumn<float>(
            Columns.Score, NumberDataViewType.Single, ("Score", AnnotationUtils.Const.ScoreColumnKind.Regression), float.NaN,
            logits => means[TensorPrimitives.IndexOfMax(logits)]),
    ];

    public override IEnumerable<SchemaShape.Column> OutputShape(SchemaShape.Column label) =>
        [Scalar(Columns.Score, NumberDataViewType.Single)];

    protected override void SaveCore(ModelSaveContext context)
    {
        context.Writer.WriteSingleArray(edges);
        context.Writer.WriteSingleArray(means);
    }

    public static BucketTask Load(TemporalColumns columns, ModelLoadContext context) =>
        new(columns, context.Reader.ReadSingleArray(), context.Reader.ReadSingleArray());

    /// <summary>The bucket of an amount, from 0.</summary>
    public int BucketOf(float amount) => edges.Count(edge => amount >= edge);
}
