using System.Drawing;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What a training step sees of a picture: the same part of it and of its dark twin.</summary>
/// <param name="Left">Where the part lies between the left edge (0) and the right one.</param>
/// <param name="Top">Where it lies between the upper edge (0) and the lower one.</param>
/// <param name="IsMirrored">Whether left and right change places.</param>
internal readonly record struct PieceChoice(double Left, double Top, bool IsMirrored)
{
    public static PieceChoice Draw(ref SampleRandom random) => new(random.NextDouble(), random.NextDouble(), random.NextDouble() < 0.5);

    /// <summary>
    /// Cuts a part of the preprocessing's size out of a picture; one that is smaller, and all without <paramref name="isTile"/>, are
    /// stretched to it.
    /// </summary>
    public void Cut(PixelView picture, ImagePreprocessing preprocessing, bool isTile, Span<byte> piece)
    {
        var (width, height) = (preprocessing.Width, preprocessing.Height);
        if (isTile && picture.Width >= width && picture.Height >= height)
        {
            var (left, top) = ((int)(Left * (picture.Width - width + 1)), (int)(Top * (picture.Height - height + 1)));
            picture.Crop(new Rectangle(left, top, width, height)).CopyTo(piece);
        }
        else
        {
            preprocessing.Resize(picture, piece);
        }
        if (!IsMirrored)
            return;
        var pixels = MemoryMarshal.Cast<byte, uint>(piece);
        for (var y = 0; y < height; y++)
            pixels.Slice(y * width, width).Reverse();
    }
}
