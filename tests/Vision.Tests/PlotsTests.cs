using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Plots;
using SkiaSharp;

namespace Vision.Tests;

public sealed class PlotsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void TheLossCurveFallsWhereTheLossFalls()
    {
        var losses = Enumerable.Range(0, 400).Select(i => 0.4f + 1.9f * MathF.Exp(-i / 80f) + 0.1f * MathF.Sin(i * 12.9898f)).ToArray();
        losses[17] = float.NaN;
        var epochs = Enumerable.Range(1, 8)
            .Select(e => new EpochSummary
            {
                Epoch = e,
                Steps = e * 50,
                Loss = 1,
                TrainingAccuracy = 0.9 - 0.5 / e,
                Validation = new(Accuracy: 0.85 - 0.5 / e, MacroAccuracy: 0.8 - 0.5 / e, LogLoss: 0.5),
            });
        var path = Output("loss.png");

        LossCurve.Save(new(losses, [.. epochs]), path);

        using var plot = SKBitmap.Decode(path);
        var blue = new SKColor(0x1F, 0x5F, 0xA8);
        int HighestBlue(int from, int to) =>
            Enumerable.Range(60, 350).First(y => Enumerable.Range(from, to - from).Any(x => plot.GetPixel(x, y) == blue));
        Assert.True(HighestBlue(95, 150) + 100 < HighestBlue(700, 870));
    }

    [Fact]
    public void AHeatMapIsRedAboveZeroAndBlueBelow()
    {
        HeatMap.Save("added", [("a", [1, 0, -1]), ("b", [0, float.NaN, -0.5f])], "hour", Output("heat.png"));

        using var plot = SKBitmap.Decode(Output("heat.png"));
        SKColor Cell(double column, int row) => plot.GetPixel(40 + (int)((column + 0.5) * (plot.Width - 70) / 3), 40 + (18 * row) + 9);
        Assert.Equal(new SKColor(0xB2, 0x18, 0x2B), Cell(0, 0));
        Assert.Equal(SKColors.White, Cell(1, 0));
        Assert.Equal(new SKColor(0x21, 0x66, 0xAC), Cell(2, 0));
        Assert.Equal(new SKColor(0xBB, 0xBB, 0xBB), Cell(1, 1));
        Assert.Throws<ArgumentException>(() => HeatMap.Save("added", [("a", [1]), ("b", [1, 2])], "hour", Output("none.png")));
    }

    [Fact]
    public void ASingleStepIsACurveAndNoneIsAnError()
    {
        LossCurve.Save(new([2.3f], []), Output("single.png"));
        Assert.Contains("without a step", Assert.Throws<ArgumentException>(() => LossCurve.Save(new([], []), Output("none.png"))).Message);
    }

    [Fact]
    public void WrongExamplesAreFramedInRed()
    {
        var pictures = Path.Combine(AppContext.BaseDirectory, "Expected", "pictures");
        var examples = Enumerable.Range(0, 11).Select(i => new ScoredExample(
            Path.Combine(pictures, i == 5 ? "missing.png" : "rgb.png"), "ankle-boot", 0.123f * (i % 9), i == 3 ? "sneaker" : "ankle-boot"));
        var path = Output("examples.png");

        var unlabelled = new ScoredExample(Path.Combine(pictures, "rotated.jpg"), "a label that is much too long for its cell", 0.5f);
        ScoredExamples.Save([.. examples, unlabelled], path);

        using var sheet = SKBitmap.Decode(path);
        var red = new SKColor(0xC6, 0x28, 0x28);
        bool HasRed(int i) => Enumerable.Range(0, 142).Any(x => sheet.GetPixel(i % 8 * 142 + x, i / 8 * 166 + 10) == red);
        Assert.Equal([3], Enumerable.Range(0, 12).Where(HasRed));
    }

    [Fact]
    public void EveryPrintableLetterAndDigitHasAGlyphOfItsOwn()
    {
        var drawings = new Dictionary<string, char>();
        foreach (var character in "ABCDEFGHIJKLMNPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:-+=/%()<>_|'!?\u2603")
        {
            using var bitmap = new SKBitmap(24, 32);
            using (var canvas = new SKCanvas(bitmap))
                StrokeFont.Draw(canvas, character.ToString(), 4, 22, 18, SKColors.Black);
            Assert.Contains(bitmap.Bytes, value => value != 0);
            Assert.True(drawings.TryAdd(Convert.ToBase64String(bitmap.Bytes), character), $"{character} looks like another character");
        }
    }

    public void Dispose()
    {
        if (Environment.GetEnvironmentVariable("KEEP_PLOTS") is not { Length: > 0 })
            Directory.Delete(_folder, recursive: true);
    }

    private string Output(string name) =>
        Path.Combine(Environment.GetEnvironmentVariable("KEEP_PLOTS") is { Length: > 0 } kept ? kept : _folder, name);
}
