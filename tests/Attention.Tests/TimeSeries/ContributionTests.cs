using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class ContributionTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void ContributionsAddUpAndFindWhatTheLabelDependsOn()
    {
        var data = _ml.Data.LoadFromEnumerable(Waves.Draw(120));
        var options = Waves.Options("High");
        options.SeesFlags = true;
        var model = _ml.BinaryClassification.Trainers.TemporalAttention(options).Fit(data);
        var explanation = model.Explain(stepCount: 64);
        var waves = Waves.Draw(30, seed: 2);
        var test = _ml.Data.LoadFromEnumerable(waves);
        var scores = model.Transform(test).GetColumn<float>("Score").ToArray();
        var nothing = model.Transform(_ml.Data.LoadFromEnumerable(new[] { new Wave() })).GetColumn<float>("Score").Single();
        var explained = explanation.Transform(test);
        var contributions = explained.GetColumn<float[]>("Contributions").ToArray();
        for (var i = 0; i < scores.Length; i++)
            Assert.Equal(scores[i] - nothing, contributions[i].Sum(), 0.05 * Math.Max(1, Math.Abs(scores[i] - nothing)));

        var first = contributions[0];
        Assert.Equal(16 * Waves.VariableCount, first.Length);
        Assert.Equal(
            Enumerable.Range(0, 3).Select(v => Math.Abs(first.Where((_, i) => i % 3 == v).Sum())),
            explained.GetColumn<float[]>("VariableImportance").First(), (a, b) => Math.Abs(a - b) < 1e-4);
        Assert.Equal(
            first.Chunk(3).Select(bin => Math.Abs(bin.Sum())), explained.GetColumn<float[]>("TimeImportance").First(),
            (a, b) => Math.Abs(a - b) < 1e-4);

        var attention = explained.GetColumn<float[]>("TimeAttention").ToArray();
        Assert.All(attention, row => Assert.Equal(1, row.Sum(), 1e-4f));
        Assert.Equal(16, attention[0].Length);
        Assert.Null(explained.Schema.GetColumnOrNull("VariableAttention")); // there is no feature branch

        // The label depends on b, in the second half.
        Assert.Equal("b", explanation.KeyIndicators(test)[0].Variable);
        var times = explained.GetColumn<float[]>("TimeImportance").ToArray();
        Assert.InRange(times.Average(row => row[8..].Sum()) / times.Average(row => row.Sum()), 0.8, 1);

        var check = OcclusionCheck.Run(model, explanation, test, variableCount: 1);
        Assert.Equal(30, check.SeriesCount);
        Assert.InRange(check.FallWithoutTop, check.FallWithoutRandom + 0.3, double.PositiveInfinity);
    }

    [Fact]
    public void ExplanationsOfClassesSurviveSaving()
    {
        var data = _ml.Data.LoadFromEnumerable(Waves.Draw(60));
        var options = Waves.Options("Key");
        (options.EpochCount, options.MemberCount) = (3, 2);
        options.Architecture = options.Architecture with { Branches = TscanBranches.Both, FeaturePooling = TscanFeaturePooling.Columns };
        var keyed = _ml.Transforms.Conversion.MapValueToKey("Key", "Level").Fit(data).Transform(data);
        var model = _ml.MulticlassClassification.Trainers.TemporalAttention(options).Fit(keyed);
        var explanation = model.Explain();
        var expected = Importance(explanation);
        Assert.Equal(expected, Importance(SaveLoadTests.SaveAndLoad(_ml, explanation, data.Schema)));
        var attention = explanation.Transform(data).GetColumn<float[]>("VariableAttention").ToArray();
        Assert.All(attention, row => Assert.Equal(1, row.Sum(), 1e-4f)); // each variable has one column
        Assert.NotEqual(expected, Importance(model.Explain(output: 0)));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Explain(output: 3));
        using var engine = _ml.Model.CreatePredictionEngine<Wave, Explained>(explanation);
        Assert.Equal(expected[4], engine.Predict(Waves.Draw(60)[4]).VariableImportance, (a, b) => Math.Abs(a - b) < 1e-5);

        float[][] Importance(ITransformer of) => [.. of.Transform(data).GetColumn<float[]>("VariableImportance")];
    }

    private sealed class Explained
    {
        public float[] VariableImportance { get; set; } = [];
    }
}
