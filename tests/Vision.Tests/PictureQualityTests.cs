using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Vision.Tests;

public sealed class PictureQualityTests
{
    [Fact]
    public void EqualPicturesHaveNoNoiseAndAreAllSimilar()
    {
        using var picture = Picture(9, 8, (x, y) => ((x * 20) + y, x + (y * 30), 255 - x));
        Assert.Equal(double.PositiveInfinity, PictureQuality.PeakSignalToNoiseRatio(picture, picture));
        Assert.Equal(1, PictureQuality.StructuralSimilarity(picture, picture), 12);
    }

    [Fact]
    public void NoiseIsThatOfAllChannelsTogether()
    {
        using var picture = Picture(9, 7, (_, _) => (50, 60, 70));
        using var reference = Picture(9, 7, (_, _) => (50, 70, 70));
        // A mean square of 100 / 3: 10 log10(255 * 255 * 3 / 100).
        Assert.Equal(32.9020, PictureQuality.PeakSignalToNoiseRatio(picture, reference), 4);
        Assert.Equal(32.9020, PictureQuality.PeakSignalToNoiseRatio(reference, picture), 4);
    }

    [Fact]
    public void SimilarityOfOneWindowIsAsComputedByHand()
    {
        // 25 of 49 pixels are 100, the others 0: mean 51.0204, sample variance 2551.0204.
        using var board = Picture(7, 7, (x, y) => Grey(100 * ((x + y + 1) % 2)));
        using var lighter = Picture(7, 7, (x, y) => Grey((100 * ((x + y + 1) % 2)) + 50));
        using var inverse = Picture(7, 7, (x, y) => Grey(100 * ((x + y) % 2)));

        // Equal variances and covariance: only the means 51.0204 and 101.0204 differ; (10308.2049 + 6.5025) / (12808.2049 + 6.5025).
        Assert.Equal(0.804911, PictureQuality.StructuralSimilarity(lighter, board), 5);
        // Means 51.0204 and 48.9796, covariance -2551.0204: 5004.4200 / 5008.5850 times -5043.5183 / 5160.5633.
        Assert.Equal(-0.976507, PictureQuality.StructuralSimilarity(inverse, board), 5);
    }

    [Fact]
    public void SimilarityIsTheMeanOverAllWindows()
    {
        using var picture = Picture(11, 9, (x, y) => ((x * 37 * (y + 3)) % 256, (x * y * 11) % 256, (x + (y * y)) % 256));
        using var reference = Picture(11, 9, (x, y) => ((x * 23 * (y + 1)) % 256, (x * y * 17) % 256, (x + (y * 3)) % 256));
        var sum = 0.0;
        for (var top = 0; top <= 2; top++)
        {
            for (var left = 0; left <= 4; left++)
            {
                using var a = Cut(picture, left, top);
                using var b = Cut(reference, left, top);
                sum += PictureQuality.StructuralSimilarity(a, b);
            }
        }
        Assert.Equal(sum / 15, PictureQuality.StructuralSimilarity(picture, reference), 10);
    }

    [Fact]
    public void PicturesThatCannotBeComparedAreRefused()
    {
        using var picture = Picture(9, 6, (_, _) => Grey(0));
        using var other = Picture(6, 9, (_, _) => Grey(0));
        Assert.Contains("6 x 9 cannot be compared with one of 9 x 6",
            Assert.Throws<ArgumentException>(() => PictureQuality.PeakSignalToNoiseRatio(picture, other)).Message);
        Assert.Contains("6 x 9 is smaller than a window of 7 x 7",
            Assert.Throws<ArgumentException>(() => PictureQuality.StructuralSimilarity(picture, picture)).Message);
    }

    private static (int Red, int Green, int Blue) Grey(int level) => (level, level, level);

    private static MLImage Picture(int width, int height, Func<int, int, (int Red, int Green, int Blue)> colour) =>
        MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32,
        [
            .. Enumerable.Range(0, width * height).SelectMany(i =>
            {
                var (red, green, blue) = colour(i % width, i / width);
                return new[] { (byte)red, (byte)green, (byte)blue, (byte)255 };
            }),
        ]);

    private static MLImage Cut(MLImage picture, int left, int top)
    {
        var pixels = picture.Pixels.ToArray();
        return Picture(7, 7, (x, y) =>
        {
            var at = (((top + y) * picture.Width) + left + x) * 4;
            return (pixels[at], pixels[at + 1], pixels[at + 2]);
        });
    }
}
