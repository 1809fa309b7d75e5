using System.Drawing;
using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class MixingTests
{
    [Fact]
    public void MixupBlendsBothPicturesByTheShare()
    {
        var (first, second) = (Enumerable.Range(0, 21).Select(i => (float)i).ToArray(), Enumerable.Repeat(100f, 21).ToArray());
        new Mix(0.75f, null).Apply(first, second, width: 7, height: 1);
        Assert.Equal(Enumerable.Range(0, 21).Select(i => 0.75f * i + 25), first);
        Assert.Equal(Enumerable.Range(0, 21).Select(i => 75 + 0.25f * i), second);
    }

    [Fact]
    public void CutMixExchangesTheBoxInEachChannel()
    {
        var (first, second) = (new float[3 * 4 * 5], new float[3 * 4 * 5]);
        Array.Fill(second, 1);
        new Mix(0.7f, Rectangle.FromLTRB(1, 2, 4, 4)).Apply(first, second, width: 5, height: 4);
        string[] plane = ["00000", "00000", "01110", "01110"];
        Assert.Equal(string.Concat(Enumerable.Repeat(string.Concat(plane), 3)), string.Concat(first));
        Assert.Equal(first.Select(value => 1 - value), second);
    }

    [Fact]
    public void TheShareOfACutIsThatOfTheBoxInsideThePicture()
    {
        var clipped = 0;
        for (var i = 0; i < 500; i++)
        {
            var mix = new Mixing { CutMixAlpha = 1 }.Draw(new SampleRandom(1, 0, i), 20, 12);
            var box = mix.Box!.Value;
            Assert.True(new Rectangle(0, 0, 20, 12).Contains(box));
            Assert.Equal(1 - box.Width * box.Height / 240.0, mix.Share, 6);
            clipped += box.Width > 0 && (box.Left == 0 || box.Right == 20) ? 1 : 0;
        }
        Assert.InRange(clipped, 100, 450);
    }

    [Fact]
    public void ProbabilityAndSwitchAreKept()
    {
        var mixing = Mixing.Usual with { Probability = 0.6, SwitchProbability = 0.25 };
        var drawn = Enumerable.Range(0, 4000).Select(i => mixing.Draw(new SampleRandom(2, 1, i), 32, 32)).ToArray();
        Assert.InRange(drawn.Count(mix => mix == Mix.None) / 4000.0, 0.37, 0.43);
        Assert.InRange(drawn.Count(mix => mix.Box is not null) / 4000.0, 0.13, 0.17);
    }

    [Theory]
    [InlineData(0.2)]
    [InlineData(0.8)]
    [InlineData(1)]
    [InlineData(3)]
    public void BetaHasItsMeanAndVariance(double alpha)
    {
        var values = Enumerable.Range(0, 20_000).Select(i => new SampleRandom(3, 0, i).NextBeta(alpha)).ToArray();
        var mean = values.Average();
        Assert.All(values, value => Assert.InRange(value, 0, 1));
        Assert.Equal(0.5, mean, 0.01);
        Assert.Equal(1 / (4 * (2 * alpha + 1)), values.Average(value => (value - mean) * (value - mean)), 0.005);
    }

    [Fact]
    public void SettingsOutOfRangeAreNamed()
    {
        Assert.Contains("MixupAlpha of the mixing is 0", Assert.Throws<ArgumentException>(() => new Mixing().Validate()).Message);
        Assert.Contains("Probability of the mixing is 2",
            Assert.Throws<ArgumentException>(() => (Mixing.Usual with { Probability = 2 }).Validate()).Message);
    }
}
