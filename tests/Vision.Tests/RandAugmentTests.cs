using System.Globalization;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class RandAugmentTests
{
    private static readonly ImagePreprocessing Preprocessing = ImagePreprocessing.Stretch(16, 16);

    public static TheoryData<string, string, string, bool, double, string> PillowResults()
    {
        var cases = new TheoryData<string, string, string, bool, double, string>();
        foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Expected", "rand-augment.tsv")))
        {
            var cells = line.Split('\t');
            cases.Add(cells[0], cells[1], cells[2], cells[3] == "1", double.Parse(cells[4], CultureInfo.InvariantCulture), cells[5]);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(PillowResults))]
    public void EqualsPillowBitForBit(string operation, string filter, string size, bool dark, double strength, string expected)
    {
        var (width, height) = (int.Parse(size.Split(',')[0]), int.Parse(size.Split(',')[1]));
        var pixels = Noise.Rgbx(width, height);
        if (dark)
            pixels = Array.ConvertAll(pixels, level => (byte)(20 + level / 3));

        RandAugment.Apply(operation, new PictureEdit(pixels, width, height), strength,
            Preprocessing with { Filter = Enum.Parse<ResampleFilter>(filter) });

        var rgb = pixels.Where((_, i) => i % PixelView.BytesPerPixel != 3).ToArray();
        Assert.Equal(expected, rgb.Length <= 300 ? Convert.ToBase64String(rgb) : Convert.ToHexStringLower(SHA256.HashData(rgb)));
    }

    [Fact]
    public void EveryOperationIsCovered() =>
        Assert.Equal(RandAugment.Operations.Order(), PillowResults().Select(row => row.Data.Item1).Distinct().Order());

    [Fact]
    public void ProbabilityAndCountAreKept()
    {
        var changed = Enumerable.Range(0, 1000).Count(i => !Apply(new() { OperationCount = 1, Probability = 0.3 }, i).SequenceEqual(Original()));
        // Some operations leave this picture as it is at any strength: it uses all levels already.
        Assert.InRange(changed, 200, 320);
        Assert.Equal(Original(), Apply(new() { OperationCount = 0 }, 1));
    }

    [Fact]
    public void ASampleIsAlwaysChangedTheSameWay()
    {
        var augment = new RandAugment { Probability = 1 };
        Assert.Equal(Apply(augment, 3), Apply(augment, 3));
        Assert.NotEqual(Apply(augment, 3), Apply(augment, 4));
    }

    [Fact]
    public void AllocatesNothingOnceThePoolsAreWarm()
    {
        var (augment, pixels) = (new RandAugment { OperationCount = 4, Probability = 1 }, Original());
        void Run(int from, int to)
        {
            for (var i = from; i < to; i++)
            {
                var random = new SampleRandom(0, 0, i);
                augment.Apply(new PictureEdit(pixels, 16, 16), Preprocessing, ref random);
            }
        }

        Run(0, 100);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Run(0, 100);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void SettingsOutOfRangeAreNamed() =>
        Assert.Contains("Magnitude of RandAugment is 11",
            Assert.Throws<ArgumentException>(() => new RandAugment { Magnitude = 11 }.Validate()).Message);

    private static byte[] Original() => Noise.Rgbx(16, 16);

    private static byte[] Apply(RandAugment augment, int sample)
    {
        var pixels = Original();
        var random = new SampleRandom(9, 1, sample);
        augment.Apply(new PictureEdit(pixels, 16, 16), Preprocessing, ref random);
        return pixels;
    }
}
