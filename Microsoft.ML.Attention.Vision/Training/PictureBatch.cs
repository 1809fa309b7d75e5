namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of one batch: pictures ready for the model, their classes and what the loss compares them with.</summary>
/// <param name="size">The number of pictures.</param>
/// <param name="valuesPerPicture">Numbers a picture.</param>
/// <param name="classCount">The number of classes; 0 for a batch without targets.</param>
internal sealed class PictureBatch(int size, int valuesPerPicture, int classCount)
{
    /// <summary>The pictures, <c>[N, 3, H, W]</c>.</summary>
    public float[] Pixels { get; } = new float[size * valuesPerPicture];

    /// <summary>The classes from 0, <c>[N]</c>; of a mixed picture the one with the larger share.</summary>
    public long[] Labels { get; } = new long[size];

    /// <summary>The targets of the loss, <c>[N, classes]</c>.</summary>
    public float[] Targets { get; } = new float[size * classCount];

    /// <summary>Copies the pictures by all cores: one alone would keep a GPU waiting.</summary>
    public unsafe void CopyPixels(Span<float> destination)
    {
        if (destination.Length != Pixels.Length)
            throw new ArgumentException($"{Pixels.Length} numbers do not fit {destination.Length}.", nameof(destination));
        fixed (float* start = destination)
        {
            var address = (nint)start;
            Parallel.For(0, size, i => Picture(i).CopyTo(new Span<float>((float*)address + i * (long)valuesPerPicture, valuesPerPicture)));
        }
    }

    /// <summary>The numbers of one picture.</summary>
    public Span<float> Picture(int index) => Pixels.AsSpan(index * valuesPerPicture, valuesPerPicture);

    /// <summary>The target of one picture.</summary>
    public Span<float> Target(int index) => Targets.AsSpan(index * classCount, classCount);
}
