using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

public class BadInputTests
{
    private readonly MLContext _ml = new(seed: 1);
    private readonly List<string> _warnings = [];

    public BadInputTests() => _ml.Log += (_, e) =>
    {
        if (e.Kind == Runtime.ChannelMessageKind.Warning)
            _warnings.Add(e.RawMessage);
    };

    [Fact]
    public void ABadRowEndsTheJobWithItsNumberAndReason()
    {
        using var transformer = Fit(BadInput.Throw, converts: false);
        var scored = transformer.Transform(Data());
        string message = Assert.Throws<InvalidDataException>(() => scored.GetColumn<float>("sum").Count()).Message;
        Assert.StartsWith("row 5: column 'Text': 'five' is not a number", message);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void BadRowsAreScoredAsMissingCountedAndReported(bool converts)
    {
        using var transformer = Fit(BadInput.ScoreAsMissing, converts);
        var scored = transformer.Transform(Data());
        float[] sums = [.. scored.GetColumn<float>("sum")];
        for (int i = 0; i < 20; i++)
            Assert.Equal(i is 5 or 13 ? float.NaN : 4f * i, sums[i]);
        Assert.Equal(2, transformer.BadRowCount);
        Assert.Equal(2, _warnings.Count);
        Assert.Contains(_warnings, w => w.Contains("row 5: column 'Text': 'five' is not a number"));
        Assert.Contains(_warnings, w => w.Contains("row 13: column 'Text': 'thirteen' is not a number"));

        float[][] doubled = [.. scored.GetColumn<float[]>("double")];
        Assert.Equal([float.NaN, float.NaN, float.NaN, float.NaN], doubled[5]);
        Assert.Equal([12f, 12, 12, 12], doubled[6]);
        string[] errors = [.. scored.GetColumn<string>("Error")];
        Assert.Equal("column 'Text': 'thirteen' is not a number", errors[13]);
        Assert.Equal(18, errors.Count(e => e.Length == 0));
    }

    [Fact]
    public void ErrorsAloneAreFoundWithoutRunningTheModel()
    {
        using var transformer = Fit(BadInput.ScoreAsMissing, converts: true);
        Assert.Equal(2, transformer.Transform(Data()).GetColumn<string>("Error").Count(e => e.Length > 0));
        Assert.Equal(0, transformer.RunCount);
    }

    [Fact]
    public void ThePredictionEngineScoresABadRowAsMissing()
    {
        using var transformer = Fit(BadInput.ScoreAsMissing, converts: true);
        using var engine = _ml.Model.CreatePredictionEngine<TextRow, Sum>(transformer);
        Assert.Equal(28, engine.Predict(new TextRow { Text = "7" }).Value);
        Assert.Equal(float.NaN, engine.Predict(new TextRow { Text = "seven" }).Value);
        Assert.Equal(32, engine.Predict(new TextRow { Text = "8" }).Value);
    }

    [Fact]
    public void AVectorOfTheWrongLengthIsBadInput()
    {
        var data = _ml.Data.LoadFromEnumerable(Enumerable.Range(0, 6).Select(i => new Ragged { X = new float[i == 4 ? 3 : 4] }).ToList());
        using var transformer = _ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
        {
            Model = TestModels.DoubleAndSum("N", 4),
            Scoring = new() { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" },
        }).Fit(data);
        Assert.Equal("column 'x' has 3 values, the model takes 4", transformer.Transform(data).GetColumn<string>("Error").ElementAt(4));
        Assert.Equal(1, transformer.BadRowCount);
    }

    private IDataView Data() => _ml.Data.LoadFromEnumerable(
        Enumerable.Range(0, 20).Select(i => new TextRow { Text = i == 5 ? "five" : i == 13 ? "thirteen" : $"{i}" }).ToList());

    private TextScorer Fit(BadInput badInput, bool converts)
    {
        var session = new OnnxSessionOptions { ExecutionProvider = ExecutionProvider.Cpu };
        return new(_ml, new() { BatchSize = 8, BadInput = badInput, ErrorColumnName = "Error", Session = session }, converts);
    }

    private sealed class Sum
    {
        [ColumnName("sum")]
        public float Value { get; set; }
    }

    private sealed class Ragged
    {
        [ColumnName("x")]
        public float[] X { get; set; } = [];
    }
}
