using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Resizes pictures and label maps as OpenCV's <c>resize</c> does, without antialiasing.</summary>
internal static class OpenCvResize
{
    /// <summary>Bilinear interpolation in float32, with half-pixel centres.</summary>
    /// <param name="picture">The picture.</param>
    /// <param name="width">The width to give it.</param>
    /// <param name="height">The height to give it.</param>
    /// <param name="planes">Three planes of red, green and blue, each with room for <paramref name="height"/> rows.</param>
    /// <param name="stride">The numbers from one row of a plane to the next.</param>
    /// <param name="planeLength">The numbers from one plane to the next.</param>
    public static void Bilinear(PixelView picture, int width, int height, Span<float> planes, int stride, int planeLength)
    {
        var columns = new Place[width];
        for (var x = 0; x < width; x++)
            columns[x] = Place.Of(x, picture.Width, width);
        for (var y = 0; y < height; y++)
        {
            var row = Place.Of(y, picture.Height, height);
            var upper = picture.Row(row.First);
            var lower = picture.Row(row.Second);
            for (var channel = 0; channel < 3; channel++)
            {
                var values = planes.Slice((channel * planeLength) + (y * stride), width);
                for (var x = 0; x < width; x++)
                {
                    var place = columns[x];
                    var (left, right) = ((place.First * PixelView.BytesPerPixel) + channel, (place.Second * PixelView.BytesPerPixel) + channel);
                    var above = (upper[left] * (1 - place.Weight)) + (upper[right] * place.Weight);
                    var below = (lower[left] * (1 - place.Weight)) + (lower[right] * place.Weight);
                    values[x] = (above * (1 - row.Weight)) + (below * row.Weight);
                }
            }
        }
    }

    /// <summary>The nearest label: each row and column of the result takes that at floor(index * source / result).</summary>
    /// <param name="map">The labels.</param>
    /// <param name="width">The width to give the map.</param>
    /// <param name="height">The height to give the map.</param>
    /// <param name="labels">Room for <paramref name="height"/> rows.</param>
    /// <param name="stride">The labels from one row to the next.</param>
    public static void Nearest(LabelMap map, int width, int height, Span<byte> labels, int stride)
    {
        for (var y = 0; y < height; y++)
        {
            var row = map.Row(Source(y, map.Height, height));
            var target = labels.Slice(y * stride, width);
            for (var x = 0; x < width; x++)
                target[x] = row[Source(x, map.Width, width)];
        }

        static int Source(int index, int source, int result) => Math.Min((int)Math.Floor(index * (1 / ((double)result / source))), source - 1);
    }

    private readonly record struct Place(int First, int Second, float Weight)
    {
        public static Place Of(int index, int source, int result)
        {
            var position = (float)(((index + 0.5) * ((double)source / result)) - 0.5);
            var first = (int)MathF.Floor(position);
            return first < 0 ? new(0, 0, 0)
                : first >= source - 1 ? new(source - 1, source - 1, 0)
                : new(first, first + 1, position - first);
        }
    }
}
