using System.Drawing;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class AntialiasedResizeTests
{
    public static TheoryData<string, string, string, string, string, string> PillowResults()
    {
        var cases = new TheoryData<string, string, string, string, string, string>();
        foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Expected", "pillow-resize.tsv")))
        {
            var cells = line.Split('\t');
            cases.Add(cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(PillowResults))]
    public void EqualsPillowBitForBit(string filter, string size, string crop, string resized, string window, string expected)
    {
        var (width, height) = (Numbers(size)[0], Numbers(size)[1]);
        var source = new PixelView(Noise.Rgbx(width, height), width, height).Crop(Rectangle(crop));
        var result = new byte[Rectangle(window).Width * Rectangle(window).Height * PixelView.BytesPerPixel];

        AntialiasedResize.Resize(
            source, Numbers(resized)[0], Numbers(resized)[1], Enum.Parse<ResampleFilter>(filter), Rectangle(window), result);

        var rgb = result.Where((_, i) => i % PixelView.BytesPerPixel != 3).ToArray();
        var actual = rgb.Length <= 1000 ? Convert.ToBase64String(rgb) : Convert.ToHexStringLower(SHA256.HashData(rgb));
        Assert.Equal(expected, actual);
    }

    [Fact]
    public void EveryFilterIsCovered() =>
        Assert.Equal(Enum.GetNames<ResampleFilter>().Order(), PillowResults().Select(row => row.Data.Item1).Distinct().Order());

    [Fact]
    public void AWindowOutsideTheResultIsRefused()
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => AntialiasedResize.Resize(
            new PixelView(new byte[16], 2, 2), 4, 4, ResampleFilter.Box, new Rectangle(1, 0, 4, 4), new byte[64]));
        Assert.Contains("not inside the resized picture of 4 x 4", error.Message);
    }

    [Fact]
    public void AllocatesNothingOnceThePoolsAreWarm()
    {
        var (source, result) = (Noise.Rgbx(300, 200), new byte[64 * 64 * PixelView.BytesPerPixel]);
        void Resize() => AntialiasedResize.Resize(
            new PixelView(source, 300, 200), 96, 64, ResampleFilter.Bicubic, new Rectangle(16, 0, 64, 64), result);

        Resize();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 10; i++)
            Resize();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static int[] Numbers(string text) => Array.ConvertAll(text.Split(','), int.Parse);

    private static Rectangle Rectangle(string text) => Numbers(text) is [var x, var y, var w, var h] ? new(x, y, w, h) : throw new FormatException(text);
}
