using Microsoft.ML;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Vision.Tests;

/// <summary>What <see cref="ImageAttentionTrainer"/> does beyond the plain training, on 16 x 16 pictures with a net of 600 parameters.</summary>
public sealed class FineTuningTests : IClassFixture<ImageAttentionTrainerTests.Bags>, IDisposable
{
    private readonly ImageAttentionTrainerTests.Bags _data;
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    public FineTuningTests(ImageAttentionTrainerTests.Bags data)
    {
        _data = data;
        Exported().Save(ModelFile);
    }

    private string ModelFile => Path.Combine(_folder, "exported.onnx");

    [Fact]
    public void AnExportedModelLearnsOtherClasses()
    {
        var options = Options();
        options.EpochCount = 8;
        var model = Fit(options);
        var metrics = _ml.MulticlassClassification.Evaluate(model.Transform(_data.Test(_ml)));
        Assert.True(metrics.MicroAccuracy > 0.9, $"{metrics.MicroAccuracy}\n{string.Join('\n', model.LastTransformer.Trace!.Epochs)}");
        Assert.Equal(["trouser", "bag"], model.LastTransformer.Classes);
    }

    [Fact]
    public void TwoBatchesOfEightAreOneOfSixteen()
    {
        var (halves, wholes) = (Train(8, 2), Train(16, 1));
        var (actual, expected) = (halves.LastTransformer.Trace!, wholes.LastTransformer.Trace!);
        Assert.Equal(15, actual.Epochs[^1].Steps);
        Assert.Equal(expected.Epochs.Select(epoch => epoch.Steps), actual.Epochs.Select(epoch => epoch.Steps));
        Assert.Equal(expected.Epochs.Select(epoch => epoch.LearningRate), actual.Epochs.Select(epoch => epoch.LearningRate));
        Assert.Equal(expected.Epochs.Select(epoch => epoch.TrainingAccuracy), actual.Epochs.Select(epoch => epoch.TrainingAccuracy));
        Assert.All(expected.StepLosses.Zip(actual.StepLosses), losses => Assert.Equal(losses.First, losses.Second, 1e-4));
        Assert.All(Scores(wholes).Zip(Scores(halves)), scores => Assert.Equal(scores.First[0], scores.Second[0], 1e-3));

        TransformerChain<ImageClassificationTransformer> Train(int batchSize, int accumulationSteps)
        {
            var options = Options();
            (options.BatchSize, options.AccumulationSteps) = (batchSize, accumulationSteps);
            options.FreezeBatchNormalization = true;
            return Pipeline(options).Fit(_data.Training(_ml, 92));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void AResumedTrainingEndsAtTheSameBits(int accumulationSteps)
    {
        var whole = Fit(Complex(accumulationSteps));
        foreach (var interruption in (int[])[1, 4, 6, 13])
        {
            var folder = Path.Combine(_folder, $"at{interruption}");
            using var cancellation = new CancellationTokenSource();
            var options = Complex(accumulationSteps);
            options.CheckpointFolder = folder;
            options.Cancellation = cancellation.Token;
            options.BatchEnded = batch =>
            {
                if (batch == interruption)
                    cancellation.Cancel();
            };
            Assert.ThrowsAny<OperationCanceledException>(() => Fit(options));

            options = Complex(accumulationSteps);
            options.CheckpointFolder = folder;
            var numbers = new List<long>();
            options.BatchEnded = numbers.Add;
            var resumed = Fit(options);

            Assert.Equal(Enumerable.Range(interruption + 1, 16 - interruption).Select(number => (long)number), numbers);
            Assert.Equal(Scores(whole), Scores(resumed));
            var (expected, actual) = (whole.LastTransformer.Trace!, resumed.LastTransformer.Trace!);
            Assert.Equal(expected.StepLosses, actual.StepLosses);
            Assert.Equal(expected.BestEpoch, actual.BestEpoch);
            Assert.Equal(expected.Epochs.Select(Results), actual.Epochs.Select(Results));
            Assert.Single(Directory.GetDirectories(folder));
        }

        static EpochSummary Results(EpochSummary epoch) => epoch with { Elapsed = default, PicturesPerSecond = 0, WaitShare = 0 };
    }

    [Fact]
    public void ACheckpointOfOtherOptionsIsRefusedWithWhatDiffers()
    {
        var options = Options();
        options.CheckpointFolder = Path.Combine(_folder, "checkpoints");
        Fit(options);
        options.BatchSize = 8;
        options.LayerDecay = 0.5f;
        var message = Assert.Throws<InvalidOperationException>(() => Fit(options)).Message;
        Assert.Contains("BatchSize is 8, it was 16", message);
        Assert.Contains("LayerDecay is 0.5, it was 1", message);
        Assert.DoesNotContain("EpochCount", message);
    }

    [Fact]
    public void EarlyStoppingEndsAtThePatienceAndKeepsTheBestEpoch()
    {
        var options = Options();
        options.LearningRate = 1e-9f;
        options.ValidationFraction = 0.25;
        options.EpochCount = 9;
        options.Patience = 3;
        var trace = Fit(options).LastTransformer.Trace!;
        Assert.Equal((4, 1), (trace.Epochs.Count, trace.BestEpoch));

        options = Options();
        options.Patience = 3;
        Assert.Contains("ValidationFraction", Assert.Throws<InvalidOperationException>(() => Fit(options)).Message);
    }

    [Fact]
    public void TheBestEpochsModelIsTheOneThatEvaluates()
    {
        var options = Options();
        (options.EpochCount, options.KeepBest, options.ValidationMetric) = (5, true, ValidationMetric.LogLoss);
        var labels = _ml.Transforms.Conversion.MapValueToKey("Label").Fit(_data.Training(_ml));
        var model = _ml.MulticlassClassification.Trainers.ImageAttention(options)
            .Fit(labels.Transform(_data.Training(_ml, 64)), labels.Transform(_data.Test(_ml)));
        var best = model.Trace!.Epochs[model.Trace.BestEpoch!.Value - 1];
        Assert.Equal(model.Trace.Epochs.Min(epoch => epoch.Validation!.LogLoss), best.Validation!.LogLoss);
        var metrics = _ml.MulticlassClassification.Evaluate(model.Transform(labels.Transform(_data.Test(_ml))));
        Assert.Equal(best.Validation.LogLoss, metrics.LogLoss, 1e-5);
        Assert.Equal(best.Validation.Accuracy, metrics.MicroAccuracy, 1e-9);
        Assert.Equal(best.Validation.MacroAccuracy, metrics.MacroAccuracy, 1e-9);
    }

    [Fact]
    public void ACallbackEndsTheTrainingAndKeepsItsModel()
    {
        var options = Options();
        options.EpochCount = 10;
        options.StopWhen = epoch => epoch.Epoch == 2;
        var model = Fit(options);
        Assert.Equal(2, model.LastTransformer.Trace!.Epochs.Count);
        Assert.Equal(100, Scores(model).Length);
    }

    [Fact]
    public void AStoppedTrainingGoesOnWithTheNextOne()
    {
        var whole = Fit(Complex());
        var options = Complex();
        options.CheckpointFolder = Path.Combine(_folder, "halving");
        options.StopWhen = epoch => epoch.Epoch is 1 or 3;
        foreach (var epochs in (int[])[1, 3, 4, 4])
        {
            var model = Fit(options);
            Assert.Equal(epochs, model.LastTransformer.Trace!.Epochs.Count);
            if (epochs == 4)
                Assert.Equal(Scores(whole), Scores(model));
        }
    }

    [Fact]
    public void ADamagedCheckpointIsNamed()
    {
        var options = Options();
        options.CheckpointFolder = Path.Combine(_folder, "checkpoints");
        Fit(options);
        var checkpoint = Directory.GetDirectories(options.CheckpointFolder).Single();
        File.WriteAllText(Path.Combine(checkpoint, "progress.json"), "{ \"Settings\": ");
        Assert.Contains($"'{checkpoint}' is damaged", Assert.Throws<InvalidDataException>(() => Fit(options)).Message);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        var options = Options();
        options.ModelFile = Path.Combine(_folder, "other.onnx");
        Assert.ThrowsAny<IOException>(() => Fit(options));
        options = Options();
        options.Freeze = ["layer.*"];
        Assert.Contains("'layer.*'; the model has ", Assert.Throws<ArgumentException>(() => Fit(options)).Message);
        options = Options();
        options.Preprocessing = ImagePreprocessing.Stretch(20, 20);
        Assert.Contains("takes pictures of 16 x 16", Assert.Throws<ArgumentException>(() => Fit(options)).Message);
        options = Options();
        options.AccumulationSteps = 0;
        Assert.Contains("AccumulationSteps is 0", Assert.Throws<ArgumentException>(() => Fit(options)).Message);
        options = Options();
        options.AccumulationSteps = 97;
        Assert.Contains("there are 96 pictures", Assert.Throws<InvalidOperationException>(() => Fit(options)).Message);
        options = Options();
        options.PretrainedWeights = "weights.safetensors";
        Assert.Contains("null with a ModelFile", Assert.Throws<ArgumentException>(() => Fit(options)).Message);
    }

    [Fact]
    public void MixedPrecisionLearnsToo()
    {
        var options = Options();
        (options.EpochCount, options.Precision) = (8, TrainingPrecision.Mixed);
        var model = Fit(options);
        Assert.True(_ml.MulticlassClassification.Evaluate(model.Transform(_data.Test(_ml))).MicroAccuracy > 0.9);
        Assert.True(model.LastTransformer.Trace!.Epochs[^1].LossScale > 1);
    }

    [Fact]
    public void FrozenParametersKeepTheirValues()
    {
        var options = Options();
        (options.Freeze, options.Unfreeze, options.FreezeBatchNormalization) = (["*"], ["fc.*"], true);
        var (before, after) = (OnnxModel.Load(ModelFile), Trained(options));
        Assert.Equal(before.Graph.Initializers["conv.weight"].Data.ToArray(), after.Graph.Initializers["conv.weight"].Data.ToArray());
        Assert.Equal(before.Graph.Initializers["bn.mean"].Data.ToArray(), after.Graph.Initializers["bn.mean"].Data.ToArray());

        options = Options();
        var trained = Trained(options);
        Assert.NotEqual(before.Graph.Initializers["conv.weight"].Data.ToArray(), trained.Graph.Initializers["conv.weight"].Data.ToArray());
        Assert.NotEqual(before.Graph.Initializers["bn.mean"].Data.ToArray(), trained.Graph.Initializers["bn.mean"].Data.ToArray());
    }

    [Fact]
    public void LayerDecayMovesEarlyLayersLess()
    {
        double Moved(float decay)
        {
            var options = Options();
            (options.EpochCount, options.LayerDecay, options.WeightDecay) = (1, decay, 0);
            var trained = Trained(options).Graph.Initializers["conv.weight"];
            var before = OnnxModel.Load(ModelFile).Graph.Initializers["conv.weight"];
            return trained.AsSpan<float>().ToArray().Zip(before.AsSpan<float>().ToArray(), (a, b) => Math.Abs(a - b)).Average();
        }
        Assert.InRange(Moved(0.5f), 0, 0.05 * Moved(1));
    }

    [Fact]
    public void AHeavyClassIsPredictedMoreOften()
    {
        int Bags(float weight)
        {
            var options = Options();
            (options.EpochCount, options.LearningRate) = (1, 2e-3f);
            options.ClassWeights = ClassWeights.Of(new Dictionary<string, float> { ["bag"] = weight });
            return Scores(Fit(options)).Count(scores => scores[1] > 0.5f);
        }
        Assert.True(Bags(30) > Bags(1 / 30f) + 50);
    }

    [Fact]
    public void TheLogAndTheTraceTellTheMetrics()
    {
        var log = new List<string>();
        _ml.Log += (_, entry) => log.AddRange(entry.Kind == ChannelMessageKind.Info ? [entry.Message] : []);
        var options = Options();
        options.ValidationFraction = 0.25;
        options.TracePlot = Path.Combine(_folder, "trace.png");
        var trace = Fit(options).LastTransformer.Trace!;
        Assert.True(File.Exists(options.TracePlot));
        Assert.Contains(log, line => line.EndsWith(trace.Epochs[0].ToString(), StringComparison.Ordinal));
        Assert.All(trace.Epochs, epoch =>
        {
            Assert.InRange(epoch.WaitShare, 0, 1);
            Assert.InRange(epoch.PicturesPerSecond, 1, double.MaxValue);
            Assert.InRange(epoch.Validation!.LogLoss, 0.01, 5);
        });
        Assert.True(trace.Epochs[^1].LearningRate < trace.Epochs[0].LearningRate);
        var path = Path.Combine(_folder, "trace.csv");
        trace.SaveCsv(path);
        var lines = File.ReadAllLines(path);
        Assert.Equal(1 + trace.Epochs.Count, lines.Length);
        Assert.All(lines, line => Assert.Equal(13, line.Split(',').Length));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <summary>A classifier of ten classes as PyTorch 1.9 would have exported it: operator set 13, Gemm, and a softmax at the end.</summary>
    private static OnnxModel Exported()
    {
        var graph = new GraphBuilder();
        var weights = new RandomWeights(3);
        Value Parameter(string name, Initialization initialization, params long[] dims) =>
            graph.Initializer(name, weights.Find(name, dims, initialization));
        var map = graph.Input("image", TensorElementType.Float, Shape.Create(["batch", 3, 16, 16]))
            .Conv2d(Parameter("conv.weight", Initialization.FanIn(27), 8, 3, 3, 3), null, stride: 2, padding: 1);
        map = graph.Op("BatchNormalization",
        [
            map, Parameter("bn.scale", Initialization.Ones, 8), Parameter("bn.bias", Initialization.Zeros, 8),
            Parameter("bn.mean", Initialization.Zeros, 8), Parameter("bn.var", Initialization.Ones, 8),
        ]).Apply("Relu");
        var pooled = graph.Op("AveragePool", [map], new() { ["kernel_shape"] = (long[])[4, 4], ["strides"] = (long[])[4, 4] });
        var features = graph.Op("Flatten", [pooled]);
        var logits = graph.Op("Gemm",
            [features, Parameter("fc.weight", Initialization.FanIn(32), 10, 32), Parameter("fc.bias", Initialization.Zeros, 10)],
            new() { ["transB"] = 1 });
        graph.Output("probabilities", logits.Softmax());
        var model = graph.ToModel();
        model.Opsets[""] = 13;
        model.IrVersion = 7;
        return model;
    }

    private ImageAttentionTrainer.Options Options() => new()
    {
        ImageFolder = _data.Folder,
        ModelFile = ModelFile,
        Preprocessing = ImagePreprocessing.Stretch(16, 16),
        BatchSize = 16,
        EpochCount = 3,
        LearningRate = 1e-2f,
        Seed = 7,
        Scoring = new() { Session = new() { ExecutionProvider = Microsoft.ML.Attention.ExecutionProvider.Cpu } },
    };

    /// <summary>Everything that has a state to resume.</summary>
    private ImageAttentionTrainer.Options Complex(int accumulationSteps = 1)
    {
        var options = Options();
        options.AccumulationSteps = accumulationSteps;
        options.EpochCount = 4;
        options.Mixing = Mixing.Usual;
        options.Augmentation = ImageAugmentation.ImageNetStrong;
        options.WeightAveraging = 0.8f;
        options.ValidationFraction = 0.25;
        options.KeepBest = true;
        options.LayerDecay = 0.9f;
        return options;
    }

    private EstimatorChain<ImageClassificationTransformer> Pipeline(ImageAttentionTrainer.Options options) =>
        _ml.Transforms.Conversion.MapValueToKey("Label").Append(_ml.MulticlassClassification.Trainers.ImageAttention(options));

    private TransformerChain<ImageClassificationTransformer> Fit(ImageAttentionTrainer.Options options) =>
        Pipeline(options).Fit(_data.Training(_ml, 96));

    private float[][] Scores(ITransformer model) => [.. model.Transform(_data.Test(_ml)).GetColumn<float[]>("Score")];

    private OnnxModel Trained(ImageAttentionTrainer.Options options)
    {
        var path = Path.Combine(_folder, "trained.onnx");
        Fit(options).LastTransformer.SaveOnnx(path);
        return OnnxModel.Load(path);
    }
}
