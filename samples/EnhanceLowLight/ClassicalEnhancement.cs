using Microsoft.ML.Data;

namespace EnhanceLowLight;

/// <summary>What enhances pictures without learning.</summary>
internal static class ClassicalEnhancement
{
    /// <summary>Raises all levels to the power at which the picture's mean becomes a given one.</summary>
    /// <param name="picture">The picture, R, G, B and another byte a pixel.</param>
    /// <param name="mean">The mean level of normal pictures, in [0, 1].</param>
    public static MLImage CorrectGamma(MLImage picture, double mean)
    {
        var counts = new long[256];
        foreach (var (level, _) in Levels(picture))
            counts[level]++;
        var (low, high) = (0.05, 5.0);
        for (var i = 0; i < 40; i++)
        {
            var exponent = (low + high) / 2;
            if (Mean(counts, exponent) > mean)
                low = exponent;
            else
                high = exponent;
        }
        var levels = Enumerable.Range(0, 256).Select(level => (byte)((255 * Math.Pow(level / 255.0, low)) + 0.5)).ToArray();
        return Change(picture, (pixel, result) =>
        {
            for (var channel = 0; channel < 3; channel++)
                result[channel] = levels[pixel[channel]];
        });
    }

    /// <summary>Spreads the luminances evenly over all levels; colours keep their ratios.</summary>
    public static MLImage EqualiseHistogram(MLImage picture)
    {
        var counts = new int[256];
        var pixels = picture.Pixels;
        var red = picture.PixelFormat == MLPixelFormat.Bgra32 ? 2 : 0;
        for (var i = 0; i < pixels.Length; i += 4)
            counts[Luminance(pixels[i..], red)]++;
        var (sum, cumulative) = (0, new int[256]);
        for (var level = 0; level < counts.Length; level++)
            cumulative[level] = sum += counts[level];
        var first = cumulative.First(count => count > 0);
        return Change(picture, (pixel, result) =>
        {
            var luminance = Luminance(pixel, red);
            var equalised = 255.0 * (cumulative[luminance] - first) / Math.Max(1, sum - first);
            for (var channel = 0; channel < 3; channel++)
                result[channel] = (byte)Math.Min(255, (luminance == 0 ? equalised : equalised * pixel[channel] / luminance) + 0.5);
        });
    }

    /// <summary>The mean level of pictures, in [0, 1].</summary>
    public static double MeanLevel(IEnumerable<MLImage> pictures) =>
        pictures.Average(picture => Levels(picture).Average(level => level.Level / 255.0));

    private delegate void ChangePixel(ReadOnlySpan<byte> pixel, Span<byte> result);

    private static MLImage Change(MLImage picture, ChangePixel change)
    {
        var (pixels, changed) = (picture.Pixels.ToArray(), new byte[picture.Width * picture.Height * 4]);
        for (var i = 0; i < changed.Length; i += 4)
        {
            change(pixels.AsSpan(i, 4), changed.AsSpan(i, 4));
            changed[i + 3] = 255;
        }
        return MLImage.CreateFromPixels(picture.Width, picture.Height, picture.PixelFormat, changed);
    }

    private static double Mean(long[] counts, double exponent) =>
        counts.Select((count, level) => count * Math.Pow(level / 255.0, exponent)).Sum() / counts.Sum();

    private static IEnumerable<(byte Level, int Index)> Levels(MLImage picture) =>
        picture.Pixels.ToArray().Select((level, index) => (level, index)).Where(pair => pair.index % 4 < 3);

    private static int Luminance(ReadOnlySpan<byte> pixel, int red) =>
        ((pixel[red] * 299) + (pixel[1] * 587) + (pixel[2 - red] * 114) + 500) / 1000;
}
