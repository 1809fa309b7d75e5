using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// A column of what a detector gives for each detection. Scores fall along the model's list, so those to keep come first; a row that failed
/// has none.
/// </summary>
/// <typeparam name="T">What is given for a detection.</typeparam>
/// <typeparam name="TModel">What the model gives.</typeparam>
/// <param name="name">The column's name.</param>
/// <param name="output">The model's output.</param>
/// <param name="length">How many values a detection has.</param>
/// <param name="leastScore">Detections of lower scores are left out.</param>
internal abstract class DetectionColumn<T, TModel>(string name, string output, int length, float leastScore)
    : OutputColumn(name, output, ScoresOutput)
    where TModel : unmanaged
{
    public const string ScoresOutput = "scores";

    public override Delegate CreateGetter(ScoredRow row)
    {
        var (values, scores) = (row.OutputIndex(output), row.OutputIndex(ScoresOutput));
        return (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
        {
            var count = row.Failure is null ? Kept(row.Tensor<float>(scores)) : 0;
            var editor = VBufferEditor.Create(ref value, count * length);
            if (count > 0)
                Convert(row.Tensor<TModel>(values)[..(count * length)], editor.Values);
            value = editor.Commit();
        });
    }

    protected abstract void Convert(ReadOnlySpan<TModel> source, Span<T> destination);

    private int Kept(ReadOnlySpan<float> scores)
    {
        var count = 0;
        while (count < scores.Length && scores[count] >= leastScore)
            count++;
        return count;
    }
}

/// <inheritdoc cref="DetectionColumns.Boxes"/>
internal sealed class BoxesColumn(string name, float leastScore) : DetectionColumn<float, float>(name, "boxes", 4, leastScore)
{
    public override DataViewType Type => new VectorDataViewType(NumberDataViewType.Single, 0, 4);

    protected override void Convert(ReadOnlySpan<float> source, Span<float> destination) => source.CopyTo(destination);
}

/// <inheritdoc cref="DetectionColumns.Scores"/>
internal sealed class ScoresColumn(string name, float leastScore) : DetectionColumn<float, float>(name, ScoresOutput, 1, leastScore)
{
    public override DataViewType Type => new VectorDataViewType(NumberDataViewType.Single);

    protected override void Convert(ReadOnlySpan<float> source, Span<float> destination) => source.CopyTo(destination);
}

/// <inheritdoc cref="DetectionColumns.Classes"/>
internal sealed class ClassesColumn(string name, ClassLabels labels, float leastScore)
    : DetectionColumn<uint, long>(name, "classes", 1, leastScore)
{
    public override DataViewType Type => new VectorDataViewType(labels.KeyType);

    protected override void Annotate(DataViewSchema.Annotations.Builder annotations) => labels.AddKeyValues(annotations);

    // 0 is the missing key: of classes that have no name.
    protected override void Convert(ReadOnlySpan<long> source, Span<uint> destination)
    {
        for (var i = 0; i < source.Length; i++)
            destination[i] = source[i] < labels.Count ? (uint)source[i] + 1 : 0;
    }
}
