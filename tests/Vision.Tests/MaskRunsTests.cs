using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class MaskRunsTests
{
    private static readonly byte[] Map =
    [
        0, 1, 1, 2,
        2, 2, 0, 0,
        0, 0, 0, 1,
    ];

    private static readonly int[] Runs = [1, 0, 1, 2, 2, 0, 3, 1, 2, 1, 0, 2, 1, 2, 3, 1];

    [Fact]
    public void RunsEndWithTheirRowAndTheirClass() => Assert.Equal(Runs, MaskRuns.Encode(Map, width: 4));

    [Fact]
    public void RunsGiveTheMapBack()
    {
        Assert.Equal(Map, MaskRuns.Decode(Runs, width: 4, height: 3));
        var random = new Random(1);
        for (var width = 1; width < 20; width++)
        {
            var map = Enumerable.Range(0, width * 7).Select(_ => (byte)random.Next(3)).ToArray();
            Assert.Equal(map, MaskRuns.Decode(MaskRuns.Encode(map, width), width, height: 7));
        }
    }

    [Fact]
    public void NoObjectIsNoRun() => Assert.Empty(MaskRuns.Encode(new byte[12], width: 4));

    [Theory]
    [InlineData(1, 0, 3, 2)]
    [InlineData(1, 3, 0, 1)]
    [InlineData(0, 0, 0, 1)]
    [InlineData(1, 0, 0, 0)]
    public void RunsBeyondThePictureAreErrors(int label, int y, int x, int length) =>
        Assert.Throws<ArgumentException>(() => MaskRuns.Decode([label, y, x, length], width: 4, height: 3));

    [Fact]
    public void CutOffRunsAndRowsAreErrors()
    {
        Assert.Throws<ArgumentException>(() => MaskRuns.Decode([1, 0, 0], width: 4, height: 3));
        Assert.Throws<ArgumentException>(() => MaskRuns.Encode(Map, width: 5));
    }
}
