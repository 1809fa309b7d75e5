using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How pictures become the square input of a few-shot segmentation model: the longer side is brought to <see cref="Size"/> and the other
/// one in proportion, both rounded down to a multiple of 8 (OpenCV's bilinear); the picture lies in the upper left corner on black; then
/// ImageNet's mean is subtracted and its standard deviation divided by.
/// </summary>
/// <remarks>
/// The published test protocol, its quirk included: at 473 a picture covers 472 pixels, and what is predicted for 473 counts as the
/// picture.
/// </remarks>
internal sealed record SegmentationPreprocessing
{
    private const int Multiple = 8;

    private static readonly (float Mean, float Deviation)[] Channels =
        [(123.675f, 58.395f), (116.28f, 57.12f), (103.53f, 57.375f)];

    public SegmentationPreprocessing(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, Multiple);
        Size = size;
    }

    /// <summary>Height and width of the input.</summary>
    public int Size { get; }

    public int ValueCount => 3 * Size * Size;

    /// <summary>The size that a picture is given within the square.</summary>
    public (int Width, int Height) ContentSize(int width, int height)
    {
        var longer = Math.Max(width, height);
        return (Side(width), Side(height));

        // A strip so thin that nothing would be left keeps 8 pixels.
        int Side(int side) => Math.Max(Multiple, (int)((long)side * Size / longer) / Multiple * Multiple);
    }

    /// <summary>Writes the numbers of a picture, <c>[3, Size, Size]</c>.</summary>
    public void Write(PixelView picture, Span<float> destination)
    {
        destination = destination[..ValueCount];
        destination.Clear();
        var (width, height) = ContentSize(picture.Width, picture.Height);
        OpenCvResize.Bilinear(picture, width, height, destination, Size, Size * Size);
        Normalise(destination, Size * Size);
    }

    /// <summary>Writes the labels of a picture, <c>[Size, Size]</c>; beyond the picture they are <see cref="LabelMap.Ignored"/>.</summary>
    public void Write(LabelMap map, Span<byte> destination)
    {
        destination = destination[..(Size * Size)];
        destination.Fill(LabelMap.Ignored);
        var (width, height) = ContentSize(map.Width, map.Height);
        OpenCvResize.Nearest(map, width, height, destination, Size);
    }

    /// <summary>Takes planes of levels in [0, 255] to what the model reads.</summary>
    public static void Normalise(Span<float> planes, int planeLength)
    {
        for (var channel = 0; channel < Channels.Length; channel++)
        {
            var (mean, deviation) = Channels[channel];
            foreach (ref var value in planes.Slice(channel * planeLength, planeLength))
                value = (value - mean) / deviation;
        }
    }
}
