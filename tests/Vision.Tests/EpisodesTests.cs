using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class EpisodesTests
{
    [Fact]
    public void SupportsAreOtherPicturesOfTheQuerysClass()
    {
        var pictures = new[] { Picture((1, 50), (2, 50)), Picture((1, 50)), Picture((1, 50), (2, 9)), Picture((3, 50)), Picture((2, 50)), Picture((2, 50)) };
        var episodes = new Episodes(pictures, shotCount: 2, leastArea: 10);

        // Class 3 has no other picture, and class 2 is too small in the third one.
        Assert.Equal([0, 1, 2, 4, 5], episodes.Queries);
        Assert.Equal<byte>([1, 2], episodes.Classes);
        var random = new SampleRandom(seed: 1, epoch: 0, index: 0);
        var drawn = new HashSet<byte>();
        for (var i = 0; i < 50; i++)
        {
            var episode = episodes.Draw(0, ref random);
            drawn.Add(episode.Label);
            Assert.Equal(episode.Label == 1 ? [1, 2] : [4, 5], episode.Supports.Order());
            Assert.Equal(1, episodes.Draw(2, ref random).Label);
        }
        Assert.Equal(2, drawn.Count);
    }

    [Fact]
    public void WithoutChangesAPictureIsWhatThePreprocessingMakesOfIt()
    {
        const int Size = 16;
        var (picture, map) = Noise(Size, Size);
        var random = new SampleRandom(seed: 1, epoch: 0, index: 0);
        var placement = SegmentationAugmentation.None.Draw(ref random, map, label: 1, Size);
        var (values, expected) = (new float[3 * Size * Size], new float[3 * Size * Size]);
        var labels = new byte[Size * Size];

        placement.Write(new PixelView(picture, Size, Size), Size, values);
        placement.Write(map, Size, labels);

        new SegmentationPreprocessing(Size).Write(new PixelView(picture, Size, Size), expected);
        Assert.Equal(map.Labels, labels);
        for (var i = 0; i < values.Length; i++)
            Assert.Equal(expected[i], values[i], 1e-4f);
    }

    [Fact]
    public void MirroringMovesPictureAndLabelsAlike()
    {
        const int Size = 16;
        var (picture, map) = Noise(Size, Size);
        var random = new SampleRandom(seed: 1, epoch: 0, index: 0);
        var mirrored = (SegmentationAugmentation.None with { MirrorProbability = 1 }).Draw(ref random, map, label: 1, Size);
        var labels = new byte[Size * Size];
        var (values, plain) = (new float[3 * Size * Size], new float[3 * Size * Size]);

        mirrored.Write(map, Size, labels);
        mirrored.Write(new PixelView(picture, Size, Size), Size, values);
        new SegmentationPreprocessing(Size).Write(new PixelView(picture, Size, Size), plain);

        for (var i = 0; i < labels.Length; i++)
        {
            var opposite = (i / Size * Size) + Size - 1 - (i % Size);
            Assert.Equal(map.Labels[opposite], labels[i]);
            Assert.Equal(plain[opposite], values[i], 1e-4f);
        }
    }

    [Fact]
    public void AQuarterTurnMovesThePixelsByOne()
    {
        const int Size = 16;
        var (_, map) = Noise(Size, Size);
        var labels = new byte[Size * Size];

        SegmentationPlacement.Of(Size, Size, Size, factor: 1, degrees: 90, isMirrored: false, left: 0, top: 0).Write(map, Size, labels);

        for (var y = 0; y < Size; y++)
        {
            for (var x = 0; x < Size; x++)
                Assert.Equal(map.Labels[((Size - 1 - x) * Size) + y], labels[(y * Size) + x]);
        }
    }

    [Fact]
    public void CutsKeepMostOfTheObjectAndWhatLiesBeyondIsIgnored()
    {
        // The object is in the middle of a picture that is twice as large as the square.
        const int Size = 16;
        var labels = new byte[Size * Size];
        for (var i = 5; i < 10; i++)
            labels.AsSpan((i * Size) + 5, 5).Fill(1);
        var map = new LabelMap(labels, Size, Size);
        var augmentation = SegmentationAugmentation.None with { Scale = (2, 2) };
        for (var i = 0; i < 20; i++)
        {
            var random = new SampleRandom(seed: 1, epoch: 0, i);
            Assert.True(augmentation.Draw(ref random, map, label: 1, Size).Count(map, label: 1, Size) >= 0.85 * 100);
        }

        var small = new SampleRandom(seed: 1, epoch: 0, index: 0);
        var square = new byte[Size * Size];
        (SegmentationAugmentation.None with { Scale = (0.5, 0.5) }).Draw(ref small, map, label: 1, Size).Write(map, Size, square);
        Assert.Equal(Size * Size * 3 / 4, square.AsSpan().Count(LabelMap.Ignored));
        Assert.Equal(0, square[(4 * Size) + 4]);
        Assert.Equal(1, square[(7 * Size) + 7]);
    }

    private static SegmentedPicture Picture(params (byte Label, int Area)[] areas) =>
        new(null!, null!, row: 0) { Areas = areas.ToDictionary(area => area.Label, area => area.Area) };

    private static (byte[] Picture, LabelMap Map) Noise(int width, int height)
    {
        var random = new Random(3);
        var picture = new byte[width * height * PixelView.BytesPerPixel];
        random.NextBytes(picture);
        return (picture, new([.. Enumerable.Range(0, width * height).Select(_ => (byte)random.Next(3))], width, height));
    }
}
