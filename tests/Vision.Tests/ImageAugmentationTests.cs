using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class ImageAugmentationTests
{
    private const int Side = 16;
    private static readonly ImagePreprocessing Plain = new() { Height = Side, Width = Side };
    private static readonly byte[] Picture = Noise.Rgbx(Side, Side);
    private static readonly float[] Unchanged = Apply(ImageAugmentation.None, new SampleRandom(0, 0, 0));

    [Fact]
    public void ASampleIsTheSameOnAnyThreadAndDiffersBetweenEpochsAndSeeds()
    {
        var augmentation = ImageAugmentation.ImageNet with { CropPadding = 2, Erasing = 0.5 };
        float[] Sample(int seed, int epoch, int index) => Apply(augmentation, new SampleRandom(seed, epoch, index));
        var inOrder = Enumerable.Range(0, 64).Select(index => Sample(1, 2, index)).ToArray();

        var parallel = new float[64][];
        Parallel.For(0, 64, i => parallel[63 - i] = Sample(1, 2, 63 - i));

        Assert.Equal(inOrder, parallel);
        Assert.NotEqual(inOrder[0], Sample(1, 3, 0));
        Assert.NotEqual(inOrder[0], Sample(2, 2, 0));
        Assert.NotEqual(inOrder[0], inOrder[1]);
    }

    [Fact]
    public void FlipMirrorsHalfOfTheSamples()
    {
        var mirrored = Unchanged.Chunk(Side).SelectMany(row => row.Reverse()).ToArray();
        var samples = Enumerable.Range(0, 1000).Select(i => Apply(ImageAugmentation.Flip, new SampleRandom(7, 0, i))).ToArray();
        var flipped = samples.Count(sample => sample.SequenceEqual(mirrored));

        Assert.Equal(1000, flipped + samples.Count(sample => sample.SequenceEqual(Unchanged)));
        Assert.InRange(flipped, 430, 570);
    }

    [Fact]
    public void PaddingMovesThePictureAndBringsInBlack()
    {
        var moves = new HashSet<(int, int)>();
        for (var i = 0; i < 200; i++)
        {
            var sample = Apply(new() { CropPadding = 2 }, new SampleRandom(0, 0, i));
            var matching =
                from dx in Enumerable.Range(-2, 5)
                from dy in Enumerable.Range(-2, 5)
                where Moved(dx, dy).SequenceEqual(sample)
                select (dx, dy);
            moves.Add(Assert.Single(matching));
        }
        Assert.Equal(25, moves.Count);

        static IEnumerable<float> Moved(int dx, int dy) =>
            from i in Enumerable.Range(0, Unchanged.Length)
            let x = i % Side - dx
            let y = i / Side % Side - dy
            select x is >= 0 and < Side && y is >= 0 and < Side ? Unchanged[i / (Side * Side) * Side * Side + y * Side + x] : 0;
    }

    [Fact]
    public void PaddingLargerThanThePictureIsAllowed()
    {
        var samples = Enumerable.Range(0, 50).Select(i => Apply(new() { CropPadding = 40 }, new SampleRandom(0, 0, i)));
        Assert.Contains(samples, sample => sample.All(value => value == 0));
    }

    [Fact]
    public void RandomCropsStayInsideAndKeepTheirLimits()
    {
        // The red channel of this picture is x and the green is y, so that the result's slopes tell the crop's size.
        var ramp = new byte[200 * 100 * PixelView.BytesPerPixel];
        for (var i = 0; i < 200 * 100; i++)
            (ramp[i * 4], ramp[i * 4 + 1]) = ((byte)(i % 200), (byte)(i / 200));
        var augmentation = new ImageAugmentation { CropArea = (0.2, 0.3), CropAspect = (0.5, 2) };
        var preprocessing = Plain with { Filter = ResampleFilter.Bilinear };
        var values = new float[Plain.ValueCount];
        for (var i = 0; i < 200; i++)
        {
            augmentation.Apply(new PixelView(ramp, 200, 100), preprocessing, new SampleRandom(3, 0, i), values);
            var width = (values[Side - 2] - values[1]) * 255 / (Side - 3) * Side;
            var height = (values[Side * Side + (Side - 2) * Side] - values[Side * Side + Side]) * 255 / (Side - 3) * Side;
            Assert.InRange(width * height / (200 * 100), 0.17, 0.34);
            Assert.InRange(width / height, 0.44, 2.3);
        }
    }

    [Fact]
    public void ExtremePicturesAreCroppedToTheNearestAspect()
    {
        var line = Noise.Rgbx(300, 1);
        var values = new float[Plain.ValueCount];
        ImageAugmentation.ImageNet.Apply(new PixelView(line, 300, 1), Plain, new SampleRandom(0, 0, 0), values);
        Assert.All(values, value => Assert.True(float.IsFinite(value)));
    }

    [Fact]
    public void ErasingFillsOneRectangleWithNoise()
    {
        var noise = new List<float>();
        for (var i = 0; i < 300; i++)
        {
            var sample = Apply(new() { Erasing = 1 }, new SampleRandom(5, 0, i));
            var changed = Enumerable.Range(0, Side * Side).Where(p => sample[p] != Unchanged[p]).ToArray();
            if (changed.Length == 0)
                continue;
            var (left, right) = (changed.Min(p => p % Side), changed.Max(p => p % Side));
            var (top, bottom) = (changed[0] / Side, changed[^1] / Side);
            Assert.Equal((right - left + 1) * (bottom - top + 1), changed.Length);
            Assert.InRange(changed.Length / (double)(Side * Side), 0.01, 0.4);
            noise.AddRange(changed.Select(p => sample[p]));
        }
        Assert.InRange(noise.Average(), -0.05, 0.05);
        Assert.InRange(noise.Average(value => value * value), 0.9, 1.1);
    }

    [Fact]
    public void SettingsOutOfRangeAreNamed()
    {
        Assert.Contains("HorizontalFlip of the augmentation is 1.5", Invalid(new() { HorizontalFlip = 1.5 }));
        Assert.Contains("CropArea of the augmentation is (0, 1)", Invalid(new() { CropArea = (0, 1) }));
        Assert.Contains("CropAspect", Invalid(new() { CropAspect = (2, 1) }));
        Assert.Contains("CropPadding", Invalid(new() { CropPadding = -1 }));
        ImageAugmentation.ImageNet.Validate();

        static string Invalid(ImageAugmentation augmentation) => Assert.Throws<ArgumentException>(augmentation.Validate).Message;
    }

    [Fact]
    public void AllocatesNothingOnceThePoolsAreWarm()
    {
        var augmentation = ImageAugmentation.ImageNet with { CropPadding = 2, Erasing = 1 };
        var values = new float[Plain.ValueCount];
        void Run(int from, int to)
        {
            for (var i = from; i < to; i++)
                augmentation.Apply(new PixelView(Picture, Side, Side), Plain, new SampleRandom(0, 0, i), values);
        }

        Run(0, 20);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Run(20, 40);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static float[] Apply(ImageAugmentation augmentation, SampleRandom random)
    {
        var values = new float[Plain.ValueCount];
        augmentation.Apply(new PixelView(Picture, Side, Side), Plain, random, values);
        return values;
    }
}
