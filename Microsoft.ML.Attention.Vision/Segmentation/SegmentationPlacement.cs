using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Where the pixels of a square come from in a picture: the one whose centre is (x, y) from (A x + B y + C, D x + E y + F).
/// </summary>
internal readonly record struct SegmentationPlacement(double A, double B, double C, double D, double E, double F)
{
    private static readonly float[] MeanColour = [123.675f, 116.28f, 103.53f];

    // A Gaussian of 1.1 pixels.
    private static readonly float[] Blur = [0.0708f, 0.2445f, 0.3694f, 0.2445f, 0.0708f];

    public bool IsBlurred { get; init; }

    /// <summary>Scales a picture, turns it about its centre, mirrors it, and begins the square at an offset in what comes out.</summary>
    public static SegmentationPlacement Of(
        int width, int height, int size, double factor, double degrees, bool isMirrored, double left, double top)
    {
        var (sine, cosine) = Math.SinCos(degrees * Math.PI / 180);
        var (centreX, centreY) = (width * factor / 2, height * factor / 2);
        var direction = isMirrored ? -1 : 1;
        // From the square to the scaled picture, relative to its centre.
        var (startX, startY) = ((left - centreX) * direction, top - centreY);
        return new(
            direction * cosine / factor, sine / factor, (((startX * cosine) + (startY * sine)) / factor) + (width / 2.0),
            -direction * sine / factor, cosine / factor, (((startY * cosine) - (startX * sine)) / factor) + (height / 2.0));
    }

    /// <summary>How many pixels of the square have a label.</summary>
    public int Count(LabelMap map, byte label, int size)
    {
        var count = 0;
        for (var y = 0; y < size; y++)
        {
            for (var x = 0; x < size; x++)
                count += LabelAt(map, x, y) == label ? 1 : 0;
        }
        return count;
    }

    /// <summary>Writes the square of labels; beyond the picture they are <see cref="LabelMap.Ignored"/>.</summary>
    public void Write(LabelMap map, int size, Span<byte> labels)
    {
        for (var y = 0; y < size; y++)
        {
            for (var x = 0; x < size; x++)
                labels[(y * size) + x] = LabelAt(map, x, y);
        }
    }

    /// <summary>Writes the square of the picture as the model reads it, <c>[3, size, size]</c>.</summary>
    public void Write(PixelView picture, int size, Span<float> planes)
    {
        var planeLength = size * size;
        for (var y = 0; y < size; y++)
        {
            for (var x = 0; x < size; x++)
            {
                var (sourceX, sourceY) = Source(x, y);
                var isInside = sourceX >= 0 && sourceX < picture.Width && sourceY >= 0 && sourceY < picture.Height;
                for (var channel = 0; channel < 3; channel++)
                    planes[(channel * planeLength) + (y * size) + x] = MeanColour[channel];
                if (isInside)
                    Interpolate(picture, sourceX - 0.5, sourceY - 0.5, planes[((y * size) + x)..], planeLength);
            }
        }
        for (var channel = 0; channel < 3 && IsBlurred; channel++)
            Smooth(planes.Slice(channel * planeLength, planeLength), size);
        SegmentationPreprocessing.Normalise(planes, planeLength);
    }

    private (double X, double Y) Source(int x, int y) => (
        (A * (x + 0.5)) + (B * (y + 0.5)) + C,
        (D * (x + 0.5)) + (E * (y + 0.5)) + F);

    private byte LabelAt(LabelMap map, int x, int y)
    {
        var (sourceX, sourceY) = Source(x, y);
        return sourceX >= 0 && sourceX < map.Width && sourceY >= 0 && sourceY < map.Height
            ? map.Labels[((int)sourceY * map.Width) + (int)sourceX]
            : LabelMap.Ignored;
    }

    private static void Interpolate(PixelView picture, double x, double y, Span<float> values, int planeLength)
    {
        var (left, top) = ((int)Math.Floor(x), (int)Math.Floor(y));
        var (shareX, shareY) = ((float)(x - left), (float)(y - top));
        var upper = picture.Row(Math.Max(top, 0));
        var lower = picture.Row(Math.Min(top + 1, picture.Height - 1));
        var first = Math.Max(left, 0) * PixelView.BytesPerPixel;
        var second = Math.Min(left + 1, picture.Width - 1) * PixelView.BytesPerPixel;
        for (var channel = 0; channel < 3; channel++)
        {
            var above = upper[first + channel] + ((upper[second + channel] - upper[first + channel]) * shareX);
            var below = lower[first + channel] + ((lower[second + channel] - lower[first + channel]) * shareX);
            values[channel * planeLength] = above + ((below - above) * shareY);
        }
    }

    // Rows, then columns, continued by mirroring.
    private static void Smooth(Span<float> plane, int size)
    {
        Span<float> line = stackalloc float[size];
        for (var axis = 0; axis < 2; axis++)
        {
            var (step, next) = axis == 0 ? (1, size) : (size, 1);
            for (var i = 0; i < size; i++)
            {
                for (var j = 0; j < size; j++)
                    line[j] = plane[(i * next) + (j * step)];
                for (var j = 0; j < size; j++)
                {
                    var sum = 0f;
                    for (var tap = 0; tap < Blur.Length; tap++)
                    {
                        var place = Math.Abs(j + tap - 2);
                        sum += Blur[tap] * line[place < size ? place : (2 * size) - 2 - place];
                    }
                    plane[(i * next) + (j * step)] = sum;
                }
            }
        }
    }
}
