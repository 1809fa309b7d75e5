namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class SeriesEncoderTests
{
    private const float None = float.NaN;

    private static readonly SeriesVariable Plain = new("a") { NormalValue = 7 };

    [Fact]
    public void AMeasurementOnTheEdgeBelongsToTheBinThatEndsThere() =>
        Assert.Equal([2, 1, 3, 1, 5, 1], Encode(new() { BinCount = 3 }, Plain, [0, 1, 1.001f, 2, 2.5f, 3.5f], [1, 2, 4, 3, 5, 6]));

    [Theory]
    [InlineData(SeriesImputation.Previous, new float[] { 7, 1, 1, 2, 2 })]
    [InlineData(SeriesImputation.Next, new float[] { 1, 1, 2, 2, 7 })]
    [InlineData(SeriesImputation.NormalValue, new float[] { 7, 1, 7, 2, 7 })]
    [InlineData(SeriesImputation.Zero, new float[] { 0, 1, 0, 2, 0 })]
    public void WhatWasNotMeasuredIsImputed(SeriesImputation imputation, float[] expected)
    {
        var encoded = Encode(new() { BinCount = 5, Imputation = imputation }, Plain, [2, 4], [1, 2]);
        Assert.Equal(expected, encoded.Where((_, i) => i % 2 == 0));
        Assert.Equal([0, 1, 0, 1, 0], encoded.Where((_, i) => i % 2 == 1));
    }

    [Fact]
    public void CategoriesBecomeColumns()
    {
        var variable = new SeriesVariable("unit") { Categories = [1, 2, 5], HasFlag = false };
        Assert.Equal([0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0], Encode(new() { BinCount = 4 }, variable, [2, 4], [5, 3]));
    }

    [Fact]
    public void RowsWithoutTimesComeOneABin() =>
        Assert.Equal([1, 1, 2, 1], Encode(new() { BinCount = 2 }, Plain, [], [1, 2, 3]));

    [Theory]
    [InlineData(SeriesEnd.First, new float[] { 1, 1, 2, 1 })]
    [InlineData(SeriesEnd.Last, new float[] { 2, 1, 3, 1 })]
    public void AnEndOfALongSeriesIsKept(SeriesEnd kept, float[] expected) =>
        Assert.Equal(expected, Encode(new() { BinCount = 2, Kept = kept }, Plain, [1, 2, 3], [1, 2, 3]));

    [Fact]
    public void BinsBehindAShortSeriesAreZeroIfAsked() =>
        Assert.Equal([7, 0, 2, 1, 0, 0], Encode(new() { BinCount = 3, Padding = SeriesPadding.Zeros }, Plain, [2], [2]));

    [Fact]
    public void HistoryIsThatOfAllMeasurementsSoFar()
    {
        // Two values in the second bin, one in the fourth.
        var encoded = Encode(
            new() { BinCount = 4, History = SeriesHistory.Age | SeriesHistory.Range | SeriesHistory.Mean | SeriesHistory.Count }, Plain,
            [1.2f, 1.5f, 3.5f], [4, 2, 6]);
        // Value, age, least, largest, mean, logarithm of 1 + the count, flag.
        Assert.Equal([7, 1, 7, 7, 7, 0, 0], encoded[..7]);
        Assert.Equal([2, 0, 2, 4, 3, MathF.Log(3), 1], encoded[7..14]);
        Assert.Equal([2, 0.25f, 2, 4, 3, MathF.Log(3), 0], encoded[14..21]);
        Assert.Equal([6, 0, 2, 6, 4, MathF.Log(4), 1], encoded[21..]);
    }

    [Fact]
    public void MaskedPaddingIsToldInTheLastColumn() =>
        Assert.Equal([7, 0, 1, 2, 1, 1, 0, 0, 0], Encode(new() { BinCount = 3, Padding = SeriesPadding.Masked }, Plain, [2], [2]));

    [Fact]
    public void HiddenVariablesAreAsIfTheyHadNotBeenMeasured()
    {
        var encoder = new SeriesEncoder(new() { BinCount = 2, History = SeriesHistory.Mean }, [Plain, Plain with { Name = "b" }]);
        var (whole, first, second, drawn) = (new float[encoder.Length], new float[encoder.Length], new float[encoder.Length], new HashSet<string>());
        encoder.Encode([1, 2], [1, 2, 3, 4], whole);
        encoder.Encode([1, 2], [None, 2, None, 4], first);
        encoder.Encode([1, 2], [1, None, 3, None], second);
        var expected = new[] { whole, first, second, encoder.EncodeNothing() }.Select(Text).ToHashSet();
        var (drop, random, batch) = (new VariableDrop(encoder, 0.5f), new Random(1), new float[40 * encoder.Length]);
        for (var i = 0; i < batch.Length; i++)
            batch[i] = whole[i % whole.Length];
        drop.Apply(batch, random);
        drawn.UnionWith(batch.Chunk(encoder.Length).Select(Text));
        Assert.Equal(expected.Order(), drawn.Order());

        static string Text(float[] series) => string.Join(' ', series);
    }

    [Fact]
    public void TheTrainingDataGivesNormalValueMeanAndDeviation()
    {
        SeriesVariable[] variables = [new("a"), new("b") { IsNormalized = false }];
        var encoder = new SeriesEncoder(new() { BinCount = 2, Limit = 1 }, variables)
            .Fit([new([1, 2], [1, 5, 3, None]), new([2], [5, None])]);
        Assert.Equal(3f, encoder.Variables[0].NormalValue);
        // Bins of a: 1, 3 and the normal value 3, 5.
        Assert.Equal(3, encoder.Means[0], 1e-6f);
        Assert.Equal(MathF.Sqrt(8f / 3), encoder.Deviations[0], 1e-6f);
        var encoded = new float[encoder.Length];
        encoder.Encode([1, 2], [100, None, 2, None], encoded);
        Assert.Equal(1, encoded[0]);
        Assert.Equal(5, encoded[1]);
        Assert.Equal(-1 / MathF.Sqrt(8f / 3), encoded[4], 1e-6f);
    }

    [Fact]
    public void LogarithmsAreTakenBeforeMeanAndDeviation()
    {
        var encoder = new SeriesEncoder(new() { BinCount = 1 }, [new("a") { IsLogarithmic = true, HasFlag = false }])
            .Fit([new([], [0]), new([], [MathF.E - 1]), new([], [(MathF.E * MathF.E) - 1])]);
        Assert.Equal(1, encoder.Means[0], 1e-6f);
        Assert.Equal(1, encoder.Deviations[0], 1e-6f);
        var encoded = new float[1];
        encoder.Encode([], [-3], encoded);
        Assert.Equal(-1, encoded[0], 1e-6f);
    }

    [Theory]
    [InlineData(new float[] { 2, 1 }, "time 1 of the series is 1")]
    [InlineData(new float[] { 1, float.NaN }, "time 1 of the series is NaN")]
    [InlineData(new float[] { 1 }, "1 times for 2 rows")]
    public void TimesThatDoNotFitAreErrors(float[] times, string message) => Assert.Contains(
        message, Assert.Throws<InvalidDataException>(() => Encode(new() { BinCount = 2 }, Plain, times, [1, 2])).Message);

    private static float[] Encode(SeriesPreprocessing preprocessing, SeriesVariable variable, float[] times, float[] values)
    {
        var encoder = new SeriesEncoder(preprocessing, [variable]);
        var encoded = new float[encoder.Length];
        Array.Fill(encoded, -1);
        encoder.Encode(times, values, encoded);
        return encoded;
    }
}
