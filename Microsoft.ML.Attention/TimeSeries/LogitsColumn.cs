using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>A scalar made of the logits of a row.</summary>
/// <typeparam name="T">The raw type of the column.</typeparam>
/// <param name="name">The column's name.</param>
/// <param name="type">Its type.</param>
/// <param name="kinds">What it is, of which task, for ML.NET's evaluators: <c>ScoreValueKind</c> and <c>ScoreColumnKind</c>.</param>
/// <param name="missing">Its value for a row that could not be read.</param>
/// <param name="map">Makes the value.</param>
internal sealed class LogitsColumn<T>(
    string name, PrimitiveDataViewType type, (string Value, string Task) kinds, T missing, Func<ReadOnlySpan<float>, T> map)
    : OutputColumn(name, TemporalTask.Logits)
{
    public override DataViewType Type => type;

    public override Delegate CreateGetter(ScoredRow row)
    {
        var output = row.OutputIndex(TemporalTask.Logits);
        return (ValueGetter<T>)((ref T value) => value = row.Failure is null ? map(row.Tensor<float>(output)) : missing);
    }

    protected override void Annotate(DataViewSchema.Annotations.Builder annotations) =>
        ClassifierAnnotations.Add(annotations, kinds.Value, kinds.Task);
}

/// <summary>A vector with a number for each logit of a row.</summary>
/// <inheritdoc cref="LogitsColumn{T}"/>
/// <param name="name">The column's name.</param>
/// <param name="type">The type of a number.</param>
/// <param name="count">The number of logits.</param>
/// <param name="slotNames">What each number is of; empty if they have no names.</param>
/// <param name="kinds">What it is, of which task, for ML.NET's evaluators.</param>
/// <param name="missing">Each number of a row that could not be read.</param>
/// <param name="map">Makes a number of a logit.</param>
internal sealed class LogitsVectorColumn<T>(
    string name, PrimitiveDataViewType type, int count, string[] slotNames, (string Value, string Task) kinds, T missing, Func<float, T> map)
    : OutputColumn(name, TemporalTask.Logits)
{
    public override DataViewType Type => new VectorDataViewType(type, count);

    public override Delegate CreateGetter(ScoredRow row)
    {
        var output = row.OutputIndex(TemporalTask.Logits);
        return (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
        {
            var editor = VBufferEditor.Create(ref value, count);
            if (row.Failure is not null)
            {
                editor.Values.Fill(missing);
            }
            else
            {
                var logits = row.Tensor<float>(output);
                for (var i = 0; i < count; i++)
                    editor.Values[i] = map(logits[i]);
            }
            value = editor.Commit();
        });
    }

    protected override void Annotate(DataViewSchema.Annotations.Builder annotations)
    {
        if (slotNames.Length > 0)
        {
            var names = new VBuffer<ReadOnlyMemory<char>>(count, Array.ConvertAll(slotNames, slot => slot.AsMemory()));
            annotations.AddSlotNames(count, (ref VBuffer<ReadOnlyMemory<char>> value) => names.CopyTo(ref value));
        }
        ClassifierAnnotations.Add(annotations, kinds.Value, kinds.Task);
    }
}
