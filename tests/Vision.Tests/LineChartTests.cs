using Microsoft.ML.Attention.Vision.Plots;
using SkiaSharp;

namespace Vision.Tests;

public sealed class LineChartTests : IDisposable
{
    private static readonly SKColor FirstColour = new(0x1F, 0x5F, 0xA8);
    private static readonly SKColor SecondColour = new(0xC2, 0x5B, 0x12);

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    [Fact]
    public void LinesOfOneNameShareAColour()
    {
        using var plot = Draw(Chart(
            new("a", [new(1, 0.9), new(100, 0.9)]), new("b", [new(1, 0.5), new(100, 0.5)]), new("a", [new(1, 0.1), new(100, 0.1)])));

        Assert.Equal([FirstColour, SecondColour, FirstColour], ColoursDown(plot, x: 500));
    }

    [Fact]
    public void EqualRatiosAreEqualLengthsOfALogarithmicAxis()
    {
        using var plot = Draw(Chart(new ChartLine("a", [new(1, 0.5), new(10, 0.5), new(100, 0.5)]) { HasDots = true }));

        Assert.True(DotHeight(plot, x: 500) > 5, "10 is in the middle of 1 and 100");
        Assert.True(DotHeight(plot, x: 300) < 5, "there is no dot at 300");
    }

    [Fact]
    public void ErrorBarsAreAsLongAsTheErrors()
    {
        using var plot = Draw(Chart(new ChartLine("a", [new(10, 0.5, Error: 0.25)]) { Emphasis = LineEmphasis.Strong, HasDots = true }));

        var bar = Enumerable.Range(40, 340).Count(y => plot.GetPixel(500, y).Red < 0xB0);
        Assert.InRange(bar, 145, 165);
    }

    [Fact]
    public void PointsThatAreNotFiniteAreLeftOut()
    {
        using var plot = Draw(Chart(new ChartLine("a", [new(1, 0.5), new(10, double.NaN), new(100, 0.5)])));

        Assert.Equal([FirstColour], ColoursDown(plot, x: 500));
    }

    [Fact]
    public void ALongLegendTakesMoreRows()
    {
        var names = Enumerable.Range(1, 12).Select(i => $"architecture number {i}");
        using var plot = Draw(Chart([.. names.Select(name => new ChartLine(name, []))]));

        Assert.All(Pixels(921, 960, from: 18), colour => Assert.Equal(SKColors.White, colour));
        Assert.Contains(Pixels(80, 300, from: 42), colour => colour != SKColors.White);

        IEnumerable<SKColor> Pixels(int left, int right, int from) =>
            Enumerable.Range(from, 13).SelectMany(y => Enumerable.Range(left, right - left).Select(x => plot.GetPixel(x, y)));
    }

    [Fact]
    public void TicksAreRoundOrThoseThatAreGiven()
    {
        Assert.Equal([0, 0.2, 0.4, 0.6, 0.8, 1], new ChartAxis("share", 0, 1).VisibleTicks().Select(tick => Math.Round(tick, 12)));
        Assert.Equal([-20, 0, 20, 40], new ChartAxis("temperature", -23, 55).VisibleTicks());
        Assert.Equal([1, 2, 5, 10, 20], new ChartAxis("epochs", 0.9, 30) { IsLogarithmic = true }.VisibleTicks());
        Assert.Equal([3, 9], new ChartAxis("epochs", 2, 10) { IsLogarithmic = true, Ticks = [1, 3, 9, 27] }.VisibleTicks());
    }

    [Theory]
    [InlineData(1, 1, false)]
    [InlineData(0, double.NaN, false)]
    [InlineData(0, 10, true)]
    public void AnAxisThatCannotBeDrawnIsAnErrorThatNamesIt(double from, double to, bool isLogarithmic)
    {
        var chart = new LineChart { X = new("epochs", from, to) { IsLogarithmic = isLogarithmic }, Y = new("accuracy", 0, 1), Lines = [] };

        Assert.Contains("'epochs'", Assert.Throws<ArgumentException>(() => Draw(chart)).Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static LineChart Chart(params IReadOnlyList<ChartLine> lines) =>
        new() { X = new("epochs", 1, 100) { IsLogarithmic = true }, Y = new("accuracy", 0, 1) { Format = "0%" }, Lines = lines };

    private SKBitmap Draw(LineChart chart)
    {
        var path = Path.Combine(_folder, "chart.png");
        LineChart.Save([chart], path);
        return SKBitmap.Decode(path);
    }

    /// <summary>The colours of lines that cross a column of pixels, from above.</summary>
    private static IEnumerable<SKColor> ColoursDown(SKBitmap plot, int x) =>
        Enumerable.Range(45, 320).Select(y => plot.GetPixel(x, y)).Where((colour, i) =>
            (colour == FirstColour || colour == SecondColour) && plot.GetPixel(x, 45 + i - 1) != colour);

    private static int DotHeight(SKBitmap plot, int x) => Enumerable.Range(45, 320).Count(y => plot.GetPixel(x, y) == FirstColour);
}
