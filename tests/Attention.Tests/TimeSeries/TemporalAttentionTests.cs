using System.Diagnostics;
using System.Globalization;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class TemporalAttentionTests
{
    private readonly MLContext _ml = new(seed: 1);
    private readonly List<string> _warnings = [];

    public TemporalAttentionTests() => _ml.Log += (_, e) =>
    {
        if (e.Kind == Runtime.ChannelMessageKind.Warning)
            _warnings.Add(e.RawMessage);
    };

    [Fact]
    public void BinaryClassificationLearnsAndSurvivesSaving()
    {
        var data = Data(120);
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(Waves.Options("High")).Fit(data);
        var test = Data(60, seed: 2);
        var metrics = _ml.BinaryClassification.Evaluate(model.Transform(test), "High");
        Assert.InRange(metrics.AreaUnderRocCurve, 0.95, 1);
        Assert.Equal(
            metrics.AreaUnderRocCurve, _ml.BinaryClassification.EvaluateCurves(model.Transform(test), "High").AreaUnderRocCurve, 1e-6);
        Assert.Equal(12, model.Trace!.Epochs.Count);
        Assert.All(model.Variables, variable => Assert.NotNull(variable.NormalValue));

        var expected = model.Transform(test).GetColumn<float>("Probability").ToArray();
        var loaded = SaveLoadTests.SaveAndLoad(_ml, model, data.Schema);
        Assert.Equal(expected, loaded.Transform(test).GetColumn<float>("Probability"));
        using var engine = _ml.Model.CreatePredictionEngine<Wave, Prediction>(loaded);
        Assert.Equal(expected.Take(10), Waves.Draw(60, seed: 2).Take(10).Select(wave => engine.Predict(wave).Probability), (a, b) =>
            Math.Abs(a - b) < 1e-5);
    }

    [Fact]
    public void ClassesAmountsBucketsAndLabelsAreLearnt()
    {
        var (data, test) = (Data(120), Data(60, seed: 2));
        var classes = _ml.Transforms.Conversion.MapValueToKey("Key", "Level")
            .Append(_ml.MulticlassClassification.Trainers.TemporalAttention(Longer("Key"))).Fit(data);
        Assert.InRange(_ml.MulticlassClassification.Evaluate(Saved(classes).Transform(test), "Key").MicroAccuracy, 0.9, 1);

        var amount = _ml.Regression.Trainers.TemporalAttention(Longer("Amount")).Fit(data);
        Assert.InRange(_ml.Regression.Evaluate(Saved(amount).Transform(test), "Amount").RSquared, 0.7, 1);

        float[] edges = [105, 115];
        var buckets = _ml.Regression.Trainers.TemporalAttention(Longer("Amount"), edges).Fit(data);
        var scored = Saved(buckets).Transform(test);
        Assert.InRange(_ml.Regression.EvaluateBuckets(scored, edges, "Amount").LinearKappa, 0.85, 1);
        Assert.All(scored.GetColumn<float>("Score"), score => Assert.Contains(score, new[] { 100f, 110, 120 }));

        var labels = _ml.BinaryClassification.Trainers.TemporalAttentionOfLabels(Longer("Flags")).Fit(data);
        Assert.InRange(_ml.BinaryClassification.EvaluateLabels(Saved(labels).Transform(test), "Flags").MacroAreaUnderRocCurve, 0.95, 1);

        static TemporalAttentionTrainer.Options Longer(string label)
        {
            var options = Waves.Options(label);
            options.EpochCount = 24;
            return options;
        }

        ITransformer Saved(ITransformer model) => SaveLoadTests.SaveAndLoad(_ml, model, data.Schema);
    }

    [Fact]
    public void TheSameSeedGivesTheSameEnsemble()
    {
        var options = Waves.Options("High");
        (options.MemberCount, options.EpochCount, options.ValidationFraction, options.SeesFlags) = (2, 3, 0.2, true);
        var (data, test) = (Data(60), Data(20, seed: 2));
        var first = Scores(options);
        Assert.Equal(first, Scores(options));
        options.Seed = 6;
        Assert.NotEqual(first, Scores(options));

        float[] Scores(TemporalAttentionTrainer.Options with) =>
            [.. _ml.BinaryClassification.Trainers.TemporalAttention(with).Fit(data).Transform(test).GetColumn<float>("Score")];
    }

    [Fact]
    public void AnEnsembleGivesTheMeanOfItsMembers()
    {
        var options = Waves.Options("High");
        (options.MemberCount, options.EpochCount) = (2, 2);
        var data = Data(30);
        var both = _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data);
        Assert.Equal([1, 1, 2, 2], both.Trace!.Epochs.Select(epoch => epoch.Member));
        options.MemberCount = 1;
        var first = Scores(_ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data));
        options.Seed += 7919;
        var second = Scores(_ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data));
        Assert.Equal(first.Zip(second, (a, b) => (a + b) / 2), Scores(both), (a, b) => Math.Abs(a - b) < 1e-5);

        float[] Scores(TemporalAttentionTransformer model) => [.. model.Transform(data).GetColumn<float>("Score")];
    }

    [Fact]
    public void TrainingStopsWhereTheValidationSetGetsNoBetter()
    {
        // Labels by chance, which can be learnt by heart only.
        var waves = Waves.Draw(30);
        var random = new Random(1);
        waves.ForEach(wave => wave.High = random.Next(2) == 0);
        var options = Waves.Options("High");
        (options.EpochCount, options.Patience) = (60, 2);
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(options)
            .Fit(_ml.Data.LoadFromEnumerable(waves), Data(30, seed: 2));
        var losses = model.Trace!.Epochs.Select(epoch => epoch.ValidationLoss!.Value).ToArray();
        Assert.InRange(losses.Length, 3, 59);
        Assert.Equal(losses.Length - 3, Array.IndexOf(losses, losses.Min()));
        options.ValidationFraction = 0;
        var error = Assert.Throws<InvalidOperationException>(
            () => _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(Data(30)));
        Assert.Contains("Patience needs validation series", error.Message);
    }

    [Fact]
    public void CrossValidationUnderstandsTheColumns()
    {
        var folds = _ml.BinaryClassification.CrossValidate(
            Data(90), _ml.BinaryClassification.Trainers.TemporalAttention(Waves.Options("High")), numberOfFolds: 3, labelColumnName: "High");
        Assert.All(folds, fold => Assert.InRange(fold.Metrics.AreaUnderRocCurve, 0.8, 1));
    }

    [Fact]
    public void SeriesThatCannotBeReadAreErrorsOrCounted()
    {
        var waves = Waves.Draw(40);
        waves[7].Times[3] = float.NaN;
        waves[9].Series = waves[9].Series[1..];
        waves[11] = new() { Level = "" };
        var data = _ml.Data.LoadFromEnumerable(waves);
        var options = Waves.Options("High");
        options.EpochCount = 1;
        var error = Assert.Throws<InvalidDataException>(
            () => _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data));
        Assert.Contains("row 7: time 3 of the series is NaN", error.Message);

        options.Scoring = options.Scoring with { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error", BatchSize = 8 };
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data);
        Assert.Contains(_warnings, warning => warning.Contains("2 that could not be read are left out"));
        var probabilities = model.Transform(data).GetColumn<float>("Probability").ToArray();
        Assert.Equal([7, 9], Enumerable.Range(0, 40).Where(i => float.IsNaN(probabilities[i])));
        Assert.Equal(2, model.BadRowCount);
        Assert.Contains("47 values", model.Transform(data).GetColumn<string>("Error").ElementAt(9));
    }

    [Fact]
    public void NothingIsLearntFromValidationOrTestSeries()
    {
        var (train, validation) = (Waves.Draw(40), Waves.Draw(20, seed: 2));
        var others = Waves.Draw(20, seed: 2);
        foreach (var wave in others)
        {
            for (var i = 0; i < wave.Series.Length; i++)
                wave.Series[i] = (1000 * wave.Series[i]) + 5;
        }
        var options = Waves.Options("High");
        options.EpochCount = 1;
        var trainer = _ml.BinaryClassification.Trainers.TemporalAttention(options);
        var model = trainer.Fit(_ml.Data.LoadFromEnumerable(train), _ml.Data.LoadFromEnumerable(validation));
        var same = trainer.Fit(_ml.Data.LoadFromEnumerable(train), _ml.Data.LoadFromEnumerable(others));
        Assert.Equal(model.Encoder.Means, same.Encoder.Means);
        Assert.Equal(model.Encoder.Deviations, same.Encoder.Deviations);
        Assert.Equal(model.Variables, same.Variables);
        var values = train.SelectMany(wave => wave.Series.Where((value, i) => i % 3 == 0 && float.IsFinite(value))).ToArray();
        Assert.Equal(values.Average(), model.Variables[0].NormalValue!.Value, 1e-5f);

        // Nor by scoring.
        var test = _ml.Data.LoadFromEnumerable(validation);
        var before = model.Transform(test).GetColumn<float>("Score").ToArray();
        model.Transform(_ml.Data.LoadFromEnumerable(others)).GetColumn<float>("Score").Count();
        Assert.Equal(before, model.Transform(test).GetColumn<float>("Score"));
    }

    [Theory]
    [InlineData(SeriesPadding.Impute)]
    [InlineData(SeriesPadding.Masked)]
    public void SeriesOfNoRowOneRowAndAVariableThatIsNeverMeasuredAreScored(SeriesPadding padding)
    {
        var waves = Waves.Draw(40);
        foreach (var wave in waves)
        {
            for (var i = 2; i < wave.Series.Length; i += 3)
                wave.Series[i] = float.NaN;
        }
        waves[1] = new() { Level = "" };
        waves[2] = new() { Times = [3], Series = [1, 2, float.NaN], Level = "", High = true };
        var options = Waves.Options("High");
        options.Preprocessing = options.Preprocessing with { Padding = padding, History = SeriesHistory.Age | SeriesHistory.Range };
        (options.EpochCount, options.VariableDropRate) = (2, 0.2f);
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(_ml.Data.LoadFromEnumerable(waves));
        // What training never saw is seen now.
        waves[3].Series[2] = 5;
        Assert.All(model.Transform(_ml.Data.LoadFromEnumerable(waves)).GetColumn<float>("Probability"), p => Assert.InRange(p, 0, 1));
        using var engine = _ml.Model.CreatePredictionEngine<Wave, Prediction>(model);
        Assert.InRange(engine.Predict(waves[1]).Probability, 0, 1);
        Assert.InRange(engine.Predict(waves[2]).Probability, 0, 1);
    }

    [Fact]
    public void ANewProcessPredicts()
    {
        var options = Waves.Options("High");
        options.EpochCount = 1;
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(Data(30));
        using var file = new TemporaryFile(".zip");
        _ml.Model.Save(model, Data(1).Schema, file.Path);
        var wave = Waves.Draw(1)[0];
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "SavedModelScorer"), [file.Path, Text(wave.Times), Text(wave.Series)])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(60_000) && process.ExitCode == 0, process.StandardError.ReadToEnd());
        using var engine = _ml.Model.CreatePredictionEngine<Wave, Prediction>(model);
        Assert.Equal(engine.Predict(wave).Probability, float.Parse(output, CultureInfo.InvariantCulture), 1e-6f);

        static string Text(float[] values) => string.Join(' ', values.Select(value => value.ToString(CultureInfo.InvariantCulture)));
    }

    [Fact]
    public void CancellationEndsTheTraining()
    {
        using var cancelling = new CancellationTokenSource();
        var options = Waves.Options("High");
        options.Cancellation = cancelling.Token;
        options.Progress = new Cancelling(cancelling);
        Assert.Throws<OperationCanceledException>(() => _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(Data(30)));
    }

    [Fact]
    public void WhatDoesNotFitIsNamedWithTheMend()
    {
        var options = Waves.Options("Level");
        Assert.Contains("needs a bool", Fails(() => _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(Data(6))));
        Assert.Contains("MapValueToKey", Fails(() => _ml.MulticlassClassification.Trainers.TemporalAttention(options).Fit(Data(6))));
        options = Waves.Options("High");
        options.Variables = null;
        Assert.Contains("does not tell how many variables", Fails(() => _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(Data(6))));
        options.Preprocessing = options.Preprocessing with { BinCount = 15 };
        Assert.Contains("not a multiple of Architecture.SegmentCount, 2", Fails(() => _ml.BinaryClassification.Trainers.TemporalAttention(options)));

        static string Fails(Action action) => Assert.ThrowsAny<Exception>(action).Message;
    }

    private IDataView Data(int count, int seed = 1) => _ml.Data.LoadFromEnumerable(Waves.Draw(count, seed));

    private sealed class Cancelling(CancellationTokenSource source) : IProgress<TemporalEpoch>
    {
        public void Report(TemporalEpoch value) => source.Cancel();
    }

    private sealed class Prediction
    {
        public float Probability { get; set; }
    }
}
