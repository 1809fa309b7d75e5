using System.Buffers;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A column made of the labels of a picture's pixels.</summary>
/// <typeparam name="T">The column's values.</typeparam>
/// <param name="name">The column's name.</param>
/// <param name="size">The height and width of the model's logits.</param>
internal abstract class LabelMapColumn<T>(string name, int size)
    : OutputColumn(name, Logits, SegmentationInputs.OriginalSizeOutput)
{
    public const string Logits = "logits";

    public override Delegate CreateGetter(ScoredRow row)
    {
        var (logitsOutput, sizeOutput) = (row.OutputIndex(Logits), row.OutputIndex(SegmentationInputs.OriginalSizeOutput));
        return (ValueGetter<T>)((ref T value) =>
        {
            if (row.Failure is not null)
            {
                Clear(ref value);
                return;
            }
            var sides = row.Tensor<long>(sizeOutput);
            var (height, width) = ((int)sides[0], (int)sides[1]);
            var labels = ArrayPool<byte>.Shared.Rent(width * height);
            LogitMaps.Label(row.Tensor<float>(logitsOutput), size, width, height, labels.AsSpan(0, width * height));
            Convert(labels.AsSpan(0, width * height), width, height, ref value);
            ArrayPool<byte>.Shared.Return(labels);
        });
    }

    /// <summary>The value of a row that failed.</summary>
    protected abstract void Clear(ref T value);

    protected abstract void Convert(ReadOnlySpan<byte> labels, int width, int height, ref T value);
}

/// <inheritdoc cref="SegmentationColumns.Mask"/>
internal sealed class MaskColumn(string name, int size) : LabelMapColumn<MLImage?>(name, size)
{
    public override DataViewType Type => new ImageDataViewType();

    protected override void Clear(ref MLImage? value) => value = null;

    protected override void Convert(ReadOnlySpan<byte> labels, int width, int height, ref MLImage? value)
    {
        using var pixels = new PixelBuffer();
        var bytes = pixels.Reset(width, height);
        for (var i = 0; i < labels.Length; i++)
        {
            bytes.Slice(i * PixelView.BytesPerPixel, 3).Fill(labels[i]);
            bytes[(i * PixelView.BytesPerPixel) + 3] = byte.MaxValue;
        }
        value = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, bytes);
    }
}

/// <inheritdoc cref="SegmentationColumns.Runs"/>
internal sealed class RunsColumn(string name, int size) : LabelMapColumn<VBuffer<int>>(name, size)
{
    public override DataViewType Type => new VectorDataViewType(NumberDataViewType.Int32, 0, MaskRuns.NumbersPerRun);

    protected override void Clear(ref VBuffer<int> value) => value = VBufferEditor.Create(ref value, 0).Commit();

    protected override void Convert(ReadOnlySpan<byte> labels, int width, int height, ref VBuffer<int> value)
    {
        var runs = MaskRuns.Encode(labels, width);
        var editor = VBufferEditor.Create(ref value, runs.Length);
        runs.CopyTo(editor.Values);
        value = editor.Commit();
    }
}
