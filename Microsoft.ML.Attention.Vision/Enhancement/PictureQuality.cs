using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>How close pictures are to those they should be, by the measures of scikit-image.</summary>
public static class PictureQuality
{
    private const int Window = 7;

    /// <summary>The peak signal-to-noise ratio in decibels, of all pixels of red, green and blue together; infinite for equals.</summary>
    /// <param name="picture">The picture.</param>
    /// <param name="reference">What it should be.</param>
    /// <exception cref="ArgumentException">The pictures are of different sizes.</exception>
    public static double PeakSignalToNoiseRatio(MLImage picture, MLImage reference)
    {
        using var pair = new Pair(picture, reference);
        long squares = 0;
        for (var y = 0; y < pair.Height; y++)
        {
            var a = pair.Picture.View.Row(y);
            var b = pair.Reference.View.Row(y);
            for (var i = 0; i < a.Length; i++)
            {
                if (i % PixelView.BytesPerPixel < 3)
                    squares += (a[i] - b[i]) * (a[i] - b[i]);
            }
        }
        return 10 * Math.Log10(255.0 * 255 * 3 * pair.Width * pair.Height / squares);
    }

    /// <summary>
    /// The structural similarity, at most 1 (equals): the mean over red, green, blue and all windows of 7 x 7 pixels, with the windows'
    /// sample variances and K1 = 0.01, K2 = 0.03.
    /// <para>Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 13(4), 2004.</para>
    /// </summary>
    /// <param name="picture">The picture.</param>
    /// <param name="reference">What it should be.</param>
    /// <exception cref="ArgumentException">The pictures are of different sizes or smaller than a window.</exception>
    public static double StructuralSimilarity(MLImage picture, MLImage reference)
    {
        using var pair = new Pair(picture, reference);
        if (pair.Width < Window || pair.Height < Window)
            throw new ArgumentException($"A picture of {pair.Height} x {pair.Width} is smaller than a window of {Window} x {Window}.");
        double sum = 0;
        for (var channel = 0; channel < 3; channel++)
        {
            // Sums down the window's rows; a window's sums are those of its columns.
            var columns = new Moments[pair.Width];
            for (var y = 0; y < pair.Height; y++)
            {
                Add(columns, y, channel, 1);
                if (y >= Window)
                    Add(columns, y - Window, channel, -1);
                if (y >= Window - 1)
                    sum += SumOfRow(columns);
            }
        }
        return sum / (3.0 * (pair.Width - Window + 1) * (pair.Height - Window + 1));

        void Add(Moments[] columns, int y, int channel, int sign)
        {
            var a = pair.Picture.View.Row(y)[channel..];
            var b = pair.Reference.View.Row(y)[channel..];
            for (var x = 0; x < columns.Length; x++)
                columns[x].Add(a[x * PixelView.BytesPerPixel], b[x * PixelView.BytesPerPixel], sign);
        }
    }

    private static double SumOfRow(ReadOnlySpan<Moments> columns)
    {
        var (window, sum) = (default(Moments), 0.0);
        for (var x = 0; x < columns.Length; x++)
        {
            window.Add(columns[x], 1);
            if (x >= Window)
                window.Add(columns[x - Window], -1);
            if (x >= Window - 1)
                sum += window.Similarity();
        }
        return sum;
    }

    /// <summary>Sums of the levels of two pictures, their squares and products.</summary>
    private struct Moments
    {
        private const int Count = Window * Window;

        private long _a;
        private long _b;
        private long _aa;
        private long _bb;
        private long _ab;

        public void Add(int a, int b, int sign)
        {
            _a += sign * a;
            _b += sign * b;
            _aa += sign * a * a;
            _bb += sign * b * b;
            _ab += sign * a * b;
        }

        public void Add(in Moments other, int sign)
        {
            _a += sign * other._a;
            _b += sign * other._b;
            _aa += sign * other._aa;
            _bb += sign * other._bb;
            _ab += sign * other._ab;
        }

        public readonly double Similarity()
        {
            const double C1 = 0.01 * 255 * 0.01 * 255, C2 = 0.03 * 255 * 0.03 * 255;
            var (meanA, meanB) = ((double)_a / Count, (double)_b / Count);
            var varianceA = (_aa - (meanA * _a)) / (Count - 1);
            var varianceB = (_bb - (meanB * _b)) / (Count - 1);
            var covariance = (_ab - (meanA * _b)) / (Count - 1);
            return ((2 * meanA * meanB) + C1) * ((2 * covariance) + C2)
                / (((meanA * meanA) + (meanB * meanB) + C1) * (varianceA + varianceB + C2));
        }
    }

    private sealed class Pair : IDisposable
    {
        public Pair(MLImage picture, MLImage reference)
        {
            MLImagePixels.Copy(picture, Picture);
            MLImagePixels.Copy(reference, Reference);
            if ((Picture.Width, Picture.Height) != (Reference.Width, Reference.Height))
            {
                throw new ArgumentException(
                    $"A picture of {Height} x {Width} cannot be compared with one of {Reference.Height} x {Reference.Width}.");
            }
        }

        public PixelBuffer Picture { get; } = new();

        public PixelBuffer Reference { get; } = new();

        public int Width => Picture.Width;

        public int Height => Picture.Height;

        public void Dispose()
        {
            Picture.Dispose();
            Reference.Dispose();
        }
    }
}
