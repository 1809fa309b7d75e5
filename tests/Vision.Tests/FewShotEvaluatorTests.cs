using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class FewShotEvaluatorTests
{
    // Class a, two pictures: objects share 2 of 4 and 1 of 2 pixels, so 3 / 6. Class b: 0 of 3. All objects: 3 / 9.
    // Background: 1 of 3 (picture 1), 3 of 4 (picture 2), 1 of 4 (picture 3), so 5 / 11.
    [Fact]
    public void CountsAreSummedBeforeTheyAreDivided()
    {
        var evaluator = new FewShotEvaluator();
        evaluator.Add("a", [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 255]);
        evaluator.Add("a", [0, 0, 0, 7, 7], [0, 0, 0, 0, 1]);
        evaluator.Add("b", [1, 1, 0, 0], [0, 0, 1, 0]);

        var metrics = evaluator.Measure();

        Assert.Equal(3, metrics.PictureCount);
        Assert.Equal(3 / 6.0, metrics.Classes["a"], 1e-9);
        Assert.Equal(0, metrics.Classes["b"], 1e-9);
        Assert.Equal((3 / 6.0) / 2, metrics.MeanIoU, 1e-9);
        Assert.Equal(((3 / 9.0) + (5 / 11.0)) / 2, metrics.ForegroundBackgroundIoU, 1e-9);
        Assert.Equal("mIoU 0.250, FB-IoU 0.394, 3 pictures; IoU of a 0.500, b 0.000", metrics.ToString());
    }

    [Fact]
    public void IgnoredPixelsCountNowhere()
    {
        var evaluator = new FewShotEvaluator();
        evaluator.Add("a", [1, 0, 1, 0], [1, 0, 255, 255]);

        var metrics = evaluator.Measure();

        Assert.Equal(1, metrics.MeanIoU, 1e-9);
        Assert.Equal(1, metrics.ForegroundBackgroundIoU, 1e-9);
    }

    [Fact]
    public void MasksOfDifferentSizeAndNoMasksAreErrors()
    {
        Assert.Throws<ArgumentException>(() => new FewShotEvaluator().Add("a", [1], [1, 0]));
        Assert.Throws<InvalidOperationException>(() => new FewShotEvaluator().Measure());
    }
}
