using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A label for each pixel of a picture.</summary>
/// <param name="labels">The labels, row by row.</param>
/// <param name="width">The picture's width.</param>
/// <param name="height">The picture's height.</param>
internal sealed class LabelMap(byte[] labels, int width, int height)
{
    /// <summary>The label of pixels that are not to count.</summary>
    public const byte Ignored = 255;

    public int Width => width;

    public int Height => height;

    public byte[] Labels => labels;

    public ReadOnlySpan<byte> Row(int y) => labels.AsSpan(y * width, width);

    /// <summary>Takes a picture's levels of red as labels: those of a grey or an indexed picture, as data sets have them.</summary>
    public static LabelMap FromLevels(PixelView picture) => From(picture, pixel => pixel[0]);

    /// <summary>Labels whatever is not black with 1.</summary>
    public static LabelMap FromMask(PixelView picture) => From(picture, pixel => (byte)(pixel[0] + pixel[1] + pixel[2] > 0 ? 1 : 0));

    private delegate byte LabelOf(ReadOnlySpan<byte> pixel);

    private static LabelMap From(PixelView picture, LabelOf labelOf)
    {
        var labels = new byte[picture.Width * picture.Height];
        for (var y = 0; y < picture.Height; y++)
        {
            var row = picture.Row(y);
            for (var x = 0; x < picture.Width; x++)
                labels[(y * picture.Width) + x] = labelOf(row.Slice(x * PixelView.BytesPerPixel, 3));
        }
        return new(labels, picture.Width, picture.Height);
    }
}
