using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

/// <summary>Average precision against cases worked out by hand.</summary>
public class AveragePrecisionTests
{
    private static readonly CornerBox Box = new(0, 0, 100, 100);

    [Fact]
    public void PerfectDetectionsHaveOne()
    {
        var metrics = Measure([[Truth(Box), Truth(new(200, 0, 220, 20))]], [[Found(Box, 0.9f), Found(new(200, 0, 220, 20), 0.8f)]]);
        Assert.Equal(1, metrics.AP, 12);
        Assert.Equal(1, metrics.APSmall, 12);
        Assert.Equal(double.NaN, metrics.APMedium);
        Assert.Equal(1, metrics.APLarge, 12);
        Assert.Equal(1, metrics.Recall, 12);
    }

    [Fact]
    public void AnOverlapCountsForTheThresholdsUpToIt()
    {
        // The overlap is 8000 / 10000 = 0.8: right at 0.5, 0.55, ... 0.8, seven thresholds of ten.
        var metrics = Measure([[Truth(Box)]], [[Found(new(0, 0, 100, 80), 0.9f)]]);
        Assert.Equal(0.7, metrics.AP, 12);
        Assert.Equal(1, metrics.AP50, 12);
        Assert.Equal(1, metrics.AP75, 12);
    }

    [Fact]
    public void AFalseAlarmBeforeARightOneHalvesThePrecision()
    {
        // Precision at recall 1 is 1/2, and so at all 101 recalls.
        var metrics = Measure([[Truth(Box)]], [[Found(new(300, 300, 400, 400), 0.9f), Found(Box, 0.8f)]]);
        Assert.Equal(0.5, metrics.AP50, 12);
    }

    [Fact]
    public void AFalseAlarmBehindAllRightOnesCostsNothing() =>
        Assert.Equal(1, Measure([[Truth(Box)]], [[Found(Box, 0.9f), Found(new(300, 300, 400, 400), 0.8f)]]).AP50, 12);

    [Fact]
    public void AMissedObjectCutsTheCurve()
    {
        // One of two found: precision 1 at recalls 0 to 0.5, which are 51 of 101.
        var metrics = Measure([[Truth(Box), Truth(new(200, 200, 300, 300))]], [[Found(Box, 0.9f)]]);
        Assert.Equal(51 / 101.0, metrics.AP50, 12);
        Assert.Equal(0.5, metrics.Recall, 12);
    }

    [Fact]
    public void ASecondDetectionOfAnObjectIsAFalseAlarm()
    {
        // In order: right, false (double), right. Precision 1 up to recall 1/2, then 2/3.
        var other = new CornerBox(200, 200, 300, 300);
        var metrics = Measure([[Truth(Box), Truth(other)]], [[Found(Box, 0.9f), Found(Box, 0.8f), Found(other, 0.7f)]]);
        Assert.Equal((51 + (50 * 2 / 3.0)) / 101, metrics.AP50, 12);
    }

    [Fact]
    public void ScoresAreComparedAcrossPictures()
    {
        // The false alarm of the second picture comes between: right, false, right.
        var metrics = Measure(
            [[Truth(Box)], [Truth(Box)]],
            [[Found(Box, 0.9f)], [Found(new(300, 0, 400, 100), 0.8f), Found(Box, 0.7f)]]);
        Assert.Equal((51 + (50 * 2 / 3.0)) / 101, metrics.AP50, 12);
    }

    [Fact]
    public void IgnoredObjectsAndWhatFindsThemDoNotCount()
    {
        var crowd = new CornerBox(200, 0, 400, 200);
        TrueBox[] truth = [Truth(Box), new(crowd, "a", true)];
        // Any part of a crowd is in it, any number of times.
        var metrics = Measure([truth], [[Found(new(210, 10, 250, 50), 0.95f), Found(new(300, 10, 350, 50), 0.94f), Found(Box, 0.9f)]]);
        Assert.Equal(1, metrics.AP50, 12);
    }

    [Fact]
    public void ObjectsOfOtherSizesDoNotCountInASize()
    {
        // The small object is missed; the detection of the large one and the false alarm of large size do not disturb the small ones' AP.
        var metrics = Measure(
            [[Truth(Box), Truth(new(200, 0, 220, 20))]], [[Found(Box, 0.9f), Found(new(300, 300, 420, 420), 0.8f)]]);
        Assert.Equal(0, metrics.APSmall, 12);
        Assert.Equal(1, metrics.APLarge, 12);
    }

    [Fact]
    public void ClassesAreAveraged()
    {
        TrueBox[] truth = [Truth(Box), new(Box, "b", false)];
        var metrics = Measure([truth], [[Found(Box, 0.9f), new(new(300, 0, 400, 100), "b", 0.9f), new(Box, "c", 0.99f)]]);
        Assert.Equal(0.5, metrics.AP50, 12);
        Assert.Equal(1, metrics.Classes["a"].AP50, 12);
        Assert.Equal(0, metrics.Classes["b"].AP50, 12);
    }

    [Fact]
    public void TheHundredBestDetectionsOfAPictureCount()
    {
        var alarms = Enumerable.Range(0, 100).Select(i => Found(new(300 + i, 0, 400 + i, 100), 0.9f));
        Assert.Equal(0, Measure([[Truth(Box)]], [[.. alarms, Found(Box, 0.5f)]]).AP50, 12);
        Assert.Equal(1 / 100.0, Measure([[Truth(Box)]], [[.. alarms.Skip(1), Found(Box, 0.5f)]]).AP50, 12);
    }

    private static DetectionMetrics Measure(TrueBox[][] truth, DetectedBox[][] found)
    {
        var metrics = new AveragePrecision();
        for (var i = 0; i < truth.Length; i++)
            metrics.Add(truth[i], found[i]);
        return metrics.Measure();
    }

    private static TrueBox Truth(CornerBox box) => new(box, "a", false);

    private static DetectedBox Found(CornerBox box, float score) => new(box, "a", score);
}
