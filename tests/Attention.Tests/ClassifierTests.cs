using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace Microsoft.ML.Attention.Tests;

public class ClassifierTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void EvaluateAndCrossValidateUnderstandTheColumns()
    {
        var data = Data();
        var pipeline = Pipeline();
        var scored = pipeline.Fit(data).Transform(data);
        var metrics = _ml.MulticlassClassification.Evaluate(scored);
        Assert.Equal(0.75, metrics.MicroAccuracy, 6);
        Assert.Equal(3, metrics.ConfusionMatrix.NumberOfClasses);
        Assert.InRange(metrics.LogLoss, 0.1, 1);
        var folds = _ml.MulticlassClassification.CrossValidate(data, pipeline, numberOfFolds: 3);
        Assert.Equal(3, folds.Count);
        Assert.All(folds, fold => Assert.InRange(fold.Metrics.MicroAccuracy, 0.5, 1));
    }

    [Fact]
    public void ScoresAreProbabilitiesWithTheClassesAsSlotNames()
    {
        var scored = Pipeline().Fit(Data()).Transform(Data());
        VBuffer<ReadOnlyMemory<char>> names = default;
        scored.Schema["Score"].GetSlotNames(ref names);
        Assert.Equal(["ant", "bee", "cat"], names.DenseValues().Select(n => n.ToString()));
        Assert.All(scored.GetColumn<float[]>("Score"), s => Assert.Equal(1, s.Sum(), 1e-5f));
        var key = Assert.IsType<KeyDataViewType>(scored.Schema["PredictedLabel"].Type);
        Assert.Equal(3ul, key.Count);
        VBuffer<ReadOnlyMemory<char>> values = default;
        scored.Schema["PredictedLabel"].GetKeyValues(ref values);
        Assert.Equal(["ant", "bee", "cat"], values.DenseValues().Select(n => n.ToString()));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void PredictionEngineGivesTheLabelItselfAfterSaveAndLoad(bool reload)
    {
        var data = Data();
        ITransformer model = Pipeline().Append(_ml.Transforms.Conversion.MapKeyToValue("Prediction", "PredictedLabel")).Fit(data);
        if (reload)
            model = SaveLoadTests.SaveAndLoad(_ml, model, data.Schema);
        using var engine = _ml.Model.CreatePredictionEngine<Insect, Prediction>(model);
        foreach (var (features, expected) in new[] { (new float[] { 3, 0, 0 }, "ant"), ([0, 3, 0], "bee"), ([0, 0, 3], "cat") })
        {
            var prediction = engine.Predict(new Insect { Features = features });
            Assert.Equal(expected, prediction.Label);
            Assert.Equal(MathF.Exp(3) / (MathF.Exp(3) + 2), prediction.Score.Max(), 1e-5f);
        }
    }

    [Fact]
    public void NumericLabelsSurviveSaveAndLoad()
    {
        var data = _ml.Data.LoadFromEnumerable(new[] { 7, 5, 9 }.Select(l => new NumberedInsect { Number = l, Features = [1, 2, 3] }));
        var pipeline = _ml.Transforms.Conversion.MapValueToKey("Label", "Number")
            .Append(new FeatureClassifier.Trainer(_ml, new ClassifierColumns()))
            .Append(_ml.Transforms.Conversion.MapKeyToValue("Prediction", "PredictedLabel"));
        var model = SaveLoadTests.SaveAndLoad(_ml, pipeline.Fit(data), data.Schema);
        Assert.Equal([9, 9, 9], model.Transform(data).GetColumn<int>("Prediction"));
    }

    [Fact]
    public void ALabelThatIsNoKeyIsRefusedWithTheMend()
    {
        var trainer = new FeatureClassifier.Trainer(_ml, new ClassifierColumns { Label = "Name" });
        Assert.Contains("MapValueToKey", Assert.ThrowsAny<Exception>(() => trainer.Fit(Data())).Message);
    }

    private IDataView Data()
    {
        string[] names = ["ant", "bee", "cat"];
        return _ml.Data.LoadFromEnumerable(Enumerable.Range(0, 24).Select(i => new Insect
        {
            Name = names[i % 3],
            Features = Enumerable.Range(0, 3).Select(c => c == (i % 4 == 3 ? i + 1 : i) % 3 ? 2f : 0).ToArray(),
        }).ToList());
    }

    private EstimatorChain<FeatureClassifier> Pipeline() => _ml.Transforms.Conversion
        .MapValueToKey("Label", "Name", keyOrdinality: ValueToKeyMappingEstimator.KeyOrdinality.ByValue)
        .Append(new FeatureClassifier.Trainer(_ml, new ClassifierColumns()));

    private sealed class Insect
    {
        public string Name { get; set; } = "";

        [VectorType(3)]
        public float[] Features { get; set; } = [];
    }

    private sealed class NumberedInsect
    {
        public int Number { get; set; }

        [VectorType(3)]
        public float[] Features { get; set; } = [];
    }

    private sealed class Prediction
    {
        [ColumnName("Prediction")]
        public string Label { get; set; } = "";

        public float[] Score { get; set; } = [];
    }
}
