namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class EvaluationTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void RankingIsThatComputedByHand()
    {
        // Descending: 0.9 +, 0.8 -, 0.7 + and - tied, 0.1 -; of the 2 * 3 pairs 3 + 1.5 are in order.
        var data = _ml.Data.LoadFromEnumerable(new Scored[]
        {
            new(0.8f, false), new(0.7f, true), new(0.9f, true), new(0.7f, false), new(0.1f, false), new(float.NaN, true),
        });
        var metrics = _ml.BinaryClassification.EvaluateCurves(data);
        Assert.Equal(4.5 / 6, metrics.AreaUnderRocCurve, 12);
        // Points (0.5, 1), (0.5, 0.5), (1, 0.5), after (0, 1).
        Assert.Equal((0.5 * 1) + (0.5 * 0.5), metrics.AreaUnderPrecisionRecallCurve, 12);
        Assert.Equal(0.5, metrics.MinPrecisionSensitivity, 12);
    }

    [Fact]
    public void WeightsCountRowsAsOftenAsTheySay()
    {
        var ranked = new RankedScores([0.9, 0.5, 0.4, 0.2], [true, false, true, false]);
        var repeated = new RankedScores([0.9, 0.9, 0.5, 0.4, 0.4, 0.4], [true, true, false, true, true, true]);
        Assert.Equal((0.5 * 1) + (0.5 * (0.5 + (2 / 3.0)) / 2), ranked.Measure().AreaUnderPrecisionRecallCurve, 12);
        Assert.Equal((0.5 * 1) + (0.5 * 2 / 3), ranked.Measure().AveragePrecision, 12);
        Assert.Equal(repeated.Measure(), ranked.Measure([2, 1, 3, 0]));
        Assert.True(double.IsNaN(ranked.Measure([1, 0, 1, 0]).AreaUnderRocCurve));
    }

    [Fact]
    public void BucketsAreThoseComputedByHand()
    {
        // Buckets below 1, 1 to 2, above; one of three right, one off by one, one by two.
        var data = _ml.Data.LoadFromEnumerable(new Amount[] { new(0.5f, 0.2f), new(1.5f, 2.5f), new(5, 0) });
        var metrics = _ml.Regression.EvaluateBuckets(data, [1, 2]);
        Assert.Equal((0.3 + 1 + 5) / 3, metrics.MeanAbsoluteDeviation, 6);
        Assert.Equal(100 * ((0.3 / 0.3) + (1 / 2.6) + (5 / 0.1)) / 3, metrics.MeanAbsolutePercentageError, 1e-3);
        // Observed 0 + 1 + 2; expected of predicted (0, 1, 2) against actual (0, 2, 0): (0 + 2 + 0 + 1 + 1 + 1 + 2 + 0 + 2) / 3.
        Assert.Equal(1 - (3 / 3.0), metrics.LinearKappa, 12);
    }

    [Fact]
    public void LabelsAreAveragedAndPooled()
    {
        var data = _ml.Data.LoadFromEnumerable(new Labelled[]
        {
            new([0.9f, 0.2f, 0.5f], [1, 0, 1]), new([0.1f, 0.8f, 0.6f], [0, 0, 1]), new([0.3f, 0.7f, 0.4f], [0, 1, 1]),
        });
        var metrics = _ml.BinaryClassification.EvaluateLabels(data);
        Assert.Equal([1, 0.5, double.NaN], metrics.Labels.Select(label => label.AreaUnderRocCurve));
        Assert.Equal(0.75, metrics.MacroAreaUnderRocCurve, 12);
        // Positives 0.9, 0.5, 0.6, 0.7, 0.4 against negatives 0.2, 0.1, 0.8, 0.3: only 0.8 is above some of them.
        Assert.Equal(16 / 20.0, metrics.MicroAreaUnderRocCurve, 12);
    }

    [Fact]
    public void TheBootstrapOfAMeanIsTheIntervalOfItsNormalDistribution()
    {
        var random = new Random(3);
        var values = Enumerable.Range(0, 400).Select(_ => random.NextDouble()).ToArray();
        var interval = new Bootstrap(4000).Measure(values.Length, weights => values.Zip(weights, (v, w) => v * w).Sum() / weights.Sum());
        Assert.Equal(values.Average(), interval.Value, 12);
        var half = 1.96 * Math.Sqrt(values.Select(v => Math.Pow(v - interval.Value, 2)).Average() / values.Length);
        Assert.Equal(interval.Value - half, interval.Low, 0.1 * half);
        Assert.Equal(interval.Value + half, interval.High, 0.1 * half);
        Assert.Equal(1, interval.ShareAboveZero);
    }

    private sealed class Scored(float score, bool label)
    {
        public float Score { get; } = score;

        public bool Label { get; } = label;
    }

    private sealed class Amount(float score, float label)
    {
        public float Score { get; } = score;

        public float Label { get; } = label;
    }

    private sealed class Labelled(float[] score, float[] label)
    {
        public float[] Score { get; } = score;

        public float[] Label { get; } = label;
    }
}
