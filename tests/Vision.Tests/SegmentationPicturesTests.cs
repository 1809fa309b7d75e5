using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

// Whole pictures are compared with the published code's in tests/Goldens.
public sealed class SegmentationPicturesTests
{
    [Theory]
    [InlineData(473, 500, 375, 472, 352)] // 354 is rounded down to 352
    [InlineData(473, 375, 500, 352, 472)]
    [InlineData(473, 100, 100, 472, 472)]
    [InlineData(129, 1000, 3, 128, 8)]    // 0 would be no picture
    public void TheLongerSideIsTheSizeAndBothAreMultiplesOfEight(int size, int width, int height, int newWidth, int newHeight) =>
        Assert.Equal((newWidth, newHeight), new SegmentationPreprocessing(size).ContentSize(width, height));

    [Fact]
    public void PictureIsInTheUpperLeftCornerOnBlackAndLabelsAreIgnoredBeyondIt()
    {
        var preprocessing = new SegmentationPreprocessing(17);
        var white = Enumerable.Repeat((byte)255, 16 * 8 * PixelView.BytesPerPixel).ToArray();
        var values = new float[preprocessing.ValueCount];
        var labels = new byte[17 * 17];

        preprocessing.Write(new PixelView(white, 16, 8), values);
        preprocessing.Write(new LabelMap([.. Enumerable.Repeat((byte)1, 16 * 8)], 16, 8), labels);

        for (var y = 0; y < 17; y++)
        {
            for (var x = 0; x < 17; x++)
            {
                var isInside = x < 16 && y < 8;
                Assert.Equal(((isInside ? 255 : 0) - 103.53f) / 57.375f, values[(2 * 17 * 17) + (y * 17) + x], 1e-5f);
                Assert.Equal(isInside ? 1 : 255, labels[(y * 17) + x]);
            }
        }
    }

    // Logits of object less background are 1, -1 / -1, -1 at the corners of a square, so with corners on corners the object ends where
    // (1 - x / 4) (1 - y / 4) is 1 / 2 or less.
    [Fact]
    public void ObjectIsWhereItsInterpolatedLogitIsLarger()
    {
        float[] logits = [0, 0, 0, 0, 1, -1, -1, -1];

        var map = Label(logits, size: 2, width: 5, height: 3);

        Assert.Equal<byte>(
        [
            1, 1, 0, 0, 0,
            1, 1, 0, 0, 0,
            0, 0, 0, 0, 0,
        ], map);
    }

    [Fact]
    public void OfSeveralClassesTheClearestOneLabelsAPixel()
    {
        // One class says 1, 0 / 1, 0 over the background; the other one 0, 2 / 0, 2.
        float[] logits = [0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 2];

        var map = Label(logits, size: 2, width: 4, height: 1);

        // In between the first class is as clear as the second one.
        Assert.Equal<byte>([1, 2, 2], [map[0], map[2], map[3]]);
    }

    [Fact]
    public void WhateverIsNotBlackBelongsToAMask()
    {
        byte[] pixels = [0, 0, 0, 255, 0, 3, 0, 255, 255, 255, 255, 255];

        Assert.Equal<byte>([0, 1, 1], LabelMap.FromMask(new PixelView(pixels, 3, 1)).Labels);
        Assert.Equal<byte>([0, 0, 255], LabelMap.FromLevels(new PixelView(pixels, 3, 1)).Labels);
    }

    private static byte[] Label(float[] logits, int size, int width, int height)
    {
        var labels = new byte[width * height];
        LogitMaps.Label(logits, size, width, height, labels);
        return labels;
    }
}
