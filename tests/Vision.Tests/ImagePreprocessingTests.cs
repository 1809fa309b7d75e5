using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class ImagePreprocessingTests
{
    public static TheoryData<int, int, int, int, string> PublishedResults()
    {
        var cases = new TheoryData<int, int, int, int, string>();
        foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Expected", "preprocessing.tsv")))
        {
            var cells = line.Split('\t');
            cases.Add(int.Parse(cells[0]), int.Parse(cells[1]), int.Parse(cells[2]), int.Parse(cells[3]), cells[4]);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(PublishedResults))]
    public void EqualsPillowAndNumpyBitForBit(int width, int height, int size, int shorterSide, string expected)
    {
        var preprocessing = shorterSide == 0
            ? ImagePreprocessing.Stretch(size, size)
            : ImagePreprocessing.ImageNet(size) with { ShorterSide = shorterSide };
        var values = new float[preprocessing.ValueCount];

        preprocessing.Apply(new PixelView(Noise.Rgbx(width, height), width, height), values);

        Assert.Equal(expected, Convert.ToHexStringLower(SHA256.HashData(MemoryMarshal.AsBytes<float>(values))));
    }

    [Fact]
    public void AnArchitecturesPreprocessingIsThatOfItsPublication()
    {
        var config = ImageClassifiers.Find("biformer_tiny");
        Assert.Equal(ImagePreprocessing.ImageNet(), ImagePreprocessing.For(config));
        var other = ImagePreprocessing.For(config with
        {
            Input = new() { Size = 240, CropFraction = 0.9, IsBicubic = false, Mean = (0.5f, 0.4f, 0.3f), StandardDeviation = (0.1f, 0.2f, 0.3f) },
        });
        Assert.Equal((240, 240, 266, ResampleFilter.Bilinear), (other.Height, other.Width, other.ShorterSide, other.Filter));
        Assert.Equal((new RgbValues(0.5f, 0.4f, 0.3f), new RgbValues(0.1f, 0.2f, 0.3f)), (other.Mean, other.StandardDeviation));
    }

    [Fact]
    public void ImageNetPresetsAreThePublishedOnes()
    {
        Assert.Equal((256, 224, 224, ResampleFilter.Bicubic), Key(ImagePreprocessing.ImageNet()));
        Assert.Equal((512, 448, 448, ResampleFilter.Bicubic), Key(ImagePreprocessing.ImageNet(448)));

        static (int?, int, int, ResampleFilter) Key(ImagePreprocessing p) => (p.ShorterSide, p.Height, p.Width, p.Filter);
    }

    [Fact]
    public void SurvivesSaveAndLoad()
    {
        var saved = ImagePreprocessing.Stretch(48, 32) with
        {
            Filter = ResampleFilter.Lanczos,
            Mean = new(1, 2, 3),
            StandardDeviation = new(4, 5, 6),
        };
        foreach (var preprocessing in new[] { saved, saved with { ShorterSide = 64 } })
        {
            using var stream = new MemoryStream();
            preprocessing.Save(new BinaryWriter(stream));
            stream.Position = 0;
            Assert.Equal(preprocessing, ImagePreprocessing.Load(new BinaryReader(stream)));
        }
    }

    [Fact]
    public void ContradictionsAreNamed()
    {
        var error = Assert.Throws<ArgumentException>((ImagePreprocessing.ImageNet() with { ShorterSide = 200 }).Validate);
        Assert.Contains("shorter side of 200", error.Message);
        error = Assert.Throws<ArgumentException>((ImagePreprocessing.ImageNet() with { StandardDeviation = default }).Validate);
        Assert.Contains("divide by zero", error.Message);
        Assert.Throws<ArgumentOutOfRangeException>("Height", () => ImagePreprocessing.ImageNet() with { Height = 0 });
    }

    [Fact]
    public void AllocatesNothingOnceThePoolsAreWarm()
    {
        var (preprocessing, source) = (ImagePreprocessing.ImageNet(64), Noise.Rgbx(100, 80));
        var values = new float[preprocessing.ValueCount];
        preprocessing.Apply(new PixelView(source, 100, 80), values);
        var before = GC.GetAllocatedBytesForCurrentThread();
        preprocessing.Apply(new PixelView(source, 100, 80), values);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}
