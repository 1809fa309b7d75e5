using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;
using Samples.Data;

namespace Vision.Tests;

public sealed class ImageAttentionTrainerTests : IClassFixture<ImageAttentionTrainerTests.Bags>
{
    private static readonly BiFormerConfig Small = new()
    {
        StemStride = 4, HeadWidth = 8, WindowCounts = [7], TopKs = [4], AutoPad = true, Depths = [1], Widths = [16], MlpRatios = [2],
    };

    private readonly Bags _data;
    private readonly MLContext _ml = new(seed: 1);

    public ImageAttentionTrainerTests(Bags data) => _data = data;

    [Fact]
    public void LearnsToTellTrousersFromBagsAndSurvivesSaveAndLoad()
    {
        var summaries = new List<EpochSummary>();
        var options = Options();
        options.EpochCount = 6;
        options.ValidationFraction = 0.1;
        options.Progress = new Listener(summaries);
        var pipeline = _ml.Transforms.Conversion.MapValueToKey("Label")
            .Append(_ml.MulticlassClassification.Trainers.ImageAttention(options));

        var model = pipeline.Fit(_data.Training(_ml));

        var trace = model.LastTransformer.Trace!;
        Assert.Equal(6, trace.Epochs.Count);
        Assert.Equal(summaries, trace.Epochs);
        Assert.Equal(trace.StepLosses.Count, trace.Epochs[^1].Steps);
        Assert.True(trace.Epochs[^1].Loss < 0.7 * trace.Epochs[0].Loss, string.Join('\n', trace.Epochs));
        Assert.NotNull(trace.Epochs[^1].ValidationAccuracy);
        var metrics = _ml.MulticlassClassification.Evaluate(model.Transform(_data.Test(_ml)));
        Assert.True(metrics.MicroAccuracy > 0.9, $"accuracy {metrics.MicroAccuracy}\n{string.Join('\n', trace.Epochs)}");

        using var file = new MemoryStream();
        _ml.Model.Save(model, _data.Training(_ml).Schema, file);
        file.Position = 0;
        var loaded = new MLContext().Model.Load(file, out _);
        Assert.Equal(Scores(model), Scores(loaded));
        using var engine = new MLContext().Model.CreatePredictionEngine<Picture, Prediction>(loaded);
        var right = _data.TestRows.Count(row => engine.Predict(row).PredictedLabel == Key(row.Label));
        Assert.Equal(metrics.MicroAccuracy, right / (double)_data.TestRows.Length, 1e-9);

        uint Key(string label) => (uint)model.LastTransformer.Classes.ToList().IndexOf(label) + 1;
    }

    [Fact]
    public void TheSameSeedGivesTheSameModelBitForBit()
    {
        var first = Train(Options());
        Assert.Equal(first, Train(Options()));
        Assert.NotEqual(first, Train(Options(seed: 8)));

        float[][] Train(ImageAttentionTrainer.Options options)
        {
            options.EpochCount = 1;
            options.Augmentation = ImageAugmentation.Flip with { CropPadding = 2, Erasing = 0.25 };
            return Scores(_ml.Transforms.Conversion.MapValueToKey("Label")
                .Append(_ml.MulticlassClassification.Trainers.ImageAttention(options)).Fit(_data.Training(_ml, 64)));
        }
    }

    [Fact]
    public void CrossValidates()
    {
        var options = Options();
        options.EpochCount = 1;
        var data = _ml.Transforms.Conversion.MapValueToKey("Label").Fit(_data.Training(_ml, 96)).Transform(_data.Training(_ml, 96));
        var folds = _ml.MulticlassClassification.CrossValidate(
            data, _ml.MulticlassClassification.Trainers.ImageAttention(options), numberOfFolds: 2);
        Assert.Equal(2, folds.Count);
        Assert.All(folds, fold => Assert.InRange(fold.Metrics.MicroAccuracy, 0, 1));
    }

    [Fact]
    public void TheAverageOfTheWeightsCanBecomeTheModel()
    {
        var options = Options();
        (options.EpochCount, options.WeightAveraging) = (1, 0.5f);
        var averaged = Fit(options);
        options = Options();
        options.EpochCount = 1;
        Assert.NotEqual(Scores(Fit(options)), Scores(averaged));
    }

    [Fact]
    public void CanBeCancelled()
    {
        using var cancellation = new CancellationTokenSource();
        var options = Options();
        options.Cancellation = cancellation.Token;
        options.Progress = new Listener([], _ => cancellation.Cancel());
        Assert.ThrowsAny<OperationCanceledException>(() => Fit(options));
    }

    [Fact]
    public void MistakesAreNamed()
    {
        var options = Options();
        options.EpochCount = 0;
        Assert.Contains("EpochCount is 0", Assert.Throws<ArgumentException>(() => Fit(options)).Message);
        options = Options();
        options.LearningRate = 1e30f;
        options.MaxGradientNorm = null;
        options.WarmUp = 0;
        Assert.Contains("Lower LearningRate", Assert.Throws<InvalidOperationException>(() => Fit(options)).Message);
        options = Options();
        options.ImageColumnName = "Photo";
        Assert.Contains("image column 'Photo'", Assert.ThrowsAny<Exception>(() => Fit(options)).Message);
    }

    [Fact]
    public void TrainsOnCudaWhatScoresTheSameOnTheCpu()
    {
        if (!OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"))
            Assert.Skip("no CUDA execution provider in the loaded ONNX Runtime");
        var options = Options();
        options.EpochCount = 6;
        options.Scoring = new() { Session = new() { ExecutionProvider = ExecutionProvider.Cuda } };
        var model = _ml.Transforms.Conversion.MapValueToKey("Label")
            .Append(_ml.MulticlassClassification.Trainers.ImageAttention(options)).Fit(_data.Training(_ml));
        Assert.Equal(ExecutionProvider.Cuda, model.LastTransformer.ExecutionProvider);
        var metrics = _ml.MulticlassClassification.Evaluate(model.Transform(_data.Test(_ml)));
        Assert.True(metrics.MicroAccuracy > 0.9, $"accuracy {metrics.MicroAccuracy}\n{string.Join('\n', model.LastTransformer.Trace!.Epochs)}");
        var onCpu = Scores(model.WithExecutionProvider(ExecutionProvider.Cpu));
        foreach (var (cuda, cpu) in Scores(model).Zip(onCpu))
            Assert.Equal(cuda[0], cpu[0], 0.02);
    }

    private ImageAttentionTrainer.Options Options(int seed = 7) => new()
    {
        ImageFolder = _data.Folder,
        Architecture = Small,
        Preprocessing = ImagePreprocessing.Stretch(28, 28),
        BatchSize = 16,
        EpochCount = 2,
        LearningRate = 3e-3f,
        Seed = seed,
        Scoring = new() { Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
    };

    private TransformerChain<ImageClassificationTransformer> Fit(ImageAttentionTrainer.Options options) =>
        _ml.Transforms.Conversion.MapValueToKey("Label").Append(_ml.MulticlassClassification.Trainers.ImageAttention(options))
            .Fit(_data.Training(_ml, 64));

    private float[][] Scores(ITransformer model) => [.. model.Transform(_data.Test(_ml)).GetColumn<float[]>("Score")];

    /// <summary>Trousers and bags of the committed subset, as files.</summary>
    public sealed class Bags : IDisposable
    {
        public Bags()
        {
            var sheets = Path.Combine(AppContext.BaseDirectory, "fashion-mnist");
            foreach (var (split, label) in from split in new[] { "train", "test" } from label in Labels select (split, label))
            {
                var target = Directory.CreateDirectory(Path.Combine(Folder, "sheets", split)).FullName;
                File.Copy(Path.Combine(sheets, split, label + ".png"), Path.Combine(target, label + ".png"));
            }
            ContactSheets.Unpack(Path.Combine(Folder, "sheets"), Folder);
        }

        public static string[] Labels => ["trouser", "bag"];

        public string Folder { get; } = Directory.CreateTempSubdirectory().FullName;

        public Picture[] TestRows => Rows("test", 100);

        public IDataView Training(MLContext ml, int count = 160) => ml.Data.LoadFromEnumerable(Rows("train", count));

        public IDataView Test(MLContext ml) => ml.Data.LoadFromEnumerable(TestRows);

        public void Dispose() => Directory.Delete(Folder, recursive: true);

        private static Picture[] Rows(string split, int count) => [.. Enumerable.Range(0, count).Select(i => new Picture
        {
            Label = Labels[i % 2],
            Image = Path.Combine(split, Labels[i % 2], $"{i / 2 + 1:D4}.png"),
        })];
    }

    public sealed class Picture
    {
        public string Image { get; set; } = "";

        public string Label { get; set; } = "";
    }

    private sealed class Prediction
    {
        public uint PredictedLabel { get; set; }
    }

    /// <summary>Unlike <see cref="Progress{T}"/> it listens on the caller's thread.</summary>
    private sealed class Listener(List<EpochSummary> summaries, Action<EpochSummary>? then = null) : IProgress<EpochSummary>
    {
        public void Report(EpochSummary value)
        {
            summaries.Add(value);
            then?.Invoke(value);
        }
    }
}
