namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of one batch: pictures ready for the model and their classes.</summary>
/// <param name="size">The number of pictures.</param>
/// <param name="valuesPerPicture">Numbers a picture.</param>
internal sealed class PictureBatch(int size, int valuesPerPicture)
{
    /// <summary>The pictures, <c>[N, 3, H, W]</c>.</summary>
    public float[] Pixels { get; } = new float[size * valuesPerPicture];

    /// <summary>The classes from 0, <c>[N]</c>.</summary>
    public long[] Labels { get; } = new long[size];

    /// <summary>The numbers of one picture.</summary>
    public Span<float> Picture(int index) => Pixels.AsSpan(index * valuesPerPicture, valuesPerPicture);
}
