using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Plots;
using Microsoft.ML.Data;
using SkiaSharp;

namespace Vision.Tests;

public sealed class ObjectDetectionTests : IDisposable
{
    private static readonly PlainDetrConfig Tiny = new()
    {
        Backbone = new()
        {
            Width = 16, Depths = [1, 1, 2, 1], HeadCounts = [1, 2, 2, 4], WindowSize = 4, PretrainedWindowSizes = [4, 4, 4, 4],
            IsGlobal = [false, false, false, true],
        },
        Width = 32, HeadCount = 4, MlpWidth = 64, LayerCount = 2, QueryCount = 12, AuxiliaryQueryCount = 24, BoxBiasWidth = 16,
        ClassCount = 2,
    };

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    [Theory]
    [InlineData(640, 480, 1066, 800)]
    [InlineData(480, 640, 800, 1066)]
    [InlineData(640, 338, 1333, 704)]
    [InlineData(800, 1000, 800, 1000)]
    [InlineData(3000, 100, 1320, 44)]
    public void PicturesAreResizedByThePublishedRule(int width, int height, int expectedWidth, int expectedHeight) =>
        Assert.Equal((expectedWidth, expectedHeight), new DetectionPreprocessing().ResizedSize(width, height));

    [Fact]
    public void BatchesOfMixedSizesGiveAboutWhatSinglePicturesGive()
    {
        var paths = new[]
        {
            Draw("a.png", 96, 64), Draw("b.png", 64, 96), Draw("c.png", 80, 80), Draw("d.png", 90, 60), Draw("e.png", 33, 70),
        };
        var single = Score(Detector(batchSize: 1), paths);
        var batched = Score(Detector(batchSize: 3), paths);

        Assert.Equal(paths.Length, batched.Length);
        for (var i = 0; i < paths.Length; i++)
        {
            Assert.Equal(24, batched[i].PredictedBoxes.Length / 4);
            Assert.Equal(single[i].PredictedLabels.Length, batched[i].PredictedLabels.Length);
        }
        // The second batch holds d and e; the first picture of each size class is not disturbed by what the batch before it left behind.
        var again = Score(Detector(batchSize: 3), paths);
        Assert.Equal(batched.SelectMany(row => row.PredictedBoxes), again.SelectMany(row => row.PredictedBoxes));
        var alike = new[] { paths[0], paths[3], paths[0] };
        var alikeSingle = Score(Detector(batchSize: 1), alike);
        var alikeBatched = Score(Detector(batchSize: 3), alike);
        AssertClose(alikeSingle[0].PredictedBoxes, alikeBatched[0].PredictedBoxes, 0.05f);
        AssertClose(alikeSingle[2].Scores, alikeBatched[2].Scores, 1e-3f);
    }

    [Fact]
    public void BoxesAreInPixelsOfThePictureAsItCame()
    {
        var row = Score(Detector(batchSize: 1), [Draw("wide.png", 400, 100)])[0];
        var boxes = row.PredictedBoxes.Chunk(4).ToArray();
        Assert.All(boxes, box => Assert.True(box[0] <= box[2] && box[1] <= box[3]));
        Assert.Contains(boxes, box => box[2] > 128);
    }

    [Fact]
    public void ASavedDetectorDetectsTheSame()
    {
        var paths = new[] { Draw("a.png", 96, 64), Draw("b.png", 64, 96) };
        var detector = Detector(batchSize: 2);
        var data = Rows(paths);
        var file = Path.Combine(_folder, "detector.zip");
        _ml.Model.Save(detector, data.Schema, file);
        var loaded = _ml.Model.Load(file, out _);

        Assert.Equal(
            Score(detector, paths).SelectMany(row => row.PredictedBoxes), Score(loaded, paths).SelectMany(row => row.PredictedBoxes));
        var inner = Assert.IsType<ObjectDetectionTransformer>(loaded);
        Assert.Equal(["cat", "dog"], inner.Classes);
    }

    [Fact]
    public void APredictionEngineDetects()
    {
        var path = Draw("a.png", 96, 64);
        var detector = Detector(batchSize: 4);
        var engine = _ml.Model.CreatePredictionEngine<ImageRow, DetectionRow>(detector);
        var first = engine.Predict(new() { Image = path });
        _ = engine.Predict(new() { Image = Draw("b.png", 64, 96) });
        Assert.Equal(first.PredictedBoxes, engine.Predict(new() { Image = path }).PredictedBoxes);
        AssertClose(Score(detector, [path])[0].PredictedBoxes, first.PredictedBoxes, 1e-3f);
    }

    [Fact]
    public void BadPicturesHaveNoDetectionsAndAnError()
    {
        var broken = Path.Combine(_folder, "broken.png");
        File.WriteAllText(broken, "no picture");
        var paths = new[] { Draw("a.png", 96, 64), broken, Path.Combine(_folder, "missing.png"), Draw("b.png", 64, 96) };
        var strict = Detector(batchSize: 2);
        Assert.StartsWith("row 1: ", Assert.Throws<InvalidDataException>(() => Score(strict, paths)).Message);

        var lenient = Detector(batchSize: 2, scoring => scoring with { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" });
        var rows = Score(lenient, paths);
        Assert.Equal([24, 0, 0, 24], rows.Select(row => row.Scores.Length));
        Assert.Equal([0, 0], new[] { rows[1], rows[2] }.Select(row => row.PredictedBoxes.Length));
        Assert.Equal(2, ((ObjectDetectionTransformer)lenient).BadRowCount);
        AssertClose(Score(Detector(batchSize: 2), [paths[0]])[0].Scores, rows[0].Scores, 1e-3f);
    }

    [Fact]
    public void DetectionsBelowTheLeastScoreAreLeftOut()
    {
        var path = Draw("a.png", 96, 64);
        var all = Score(Detector(batchSize: 1), [path])[0].Scores;
        var limit = all[10];
        var some = Score(Detector(batchSize: 1, leastScore: limit), [path])[0];
        Assert.Equal(all.Count(score => score >= limit), some.Scores.Length);
        Assert.Equal(4 * some.Scores.Length, some.PredictedBoxes.Length);
        Assert.Empty(Score(Detector(batchSize: 1, leastScore: 2), [path])[0].PredictedBoxes);
    }

    [Fact]
    public void OtherModelsAreRefusedByName()
    {
        var builder = new GraphBuilder("other");
        builder.Output("y", builder.Input("x", Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float, ["N", 3]) * 2);
        var estimator = _ml.Transforms.DetectObjects(new() { Model = builder.ToModel().ToBytes(), Labels = ["a"] });
        var error = Assert.Throws<InvalidOperationException>(() => estimator.Fit(Rows([])).Transform(Rows([])).Schema.ToString());
        Assert.Contains("'image'", error.Message);
    }

    [Fact]
    public void ATrainedDetectorFindsTheSquaresItHasSeen()
    {
        // Pale squares and dark ones on grey.
        var random = new Random(1);
        var annotations = Enumerable.Range(0, 8).Select(i => Squares($"train{i}.png", random)).ToArray();
        var data = _ml.Data.LoadFromEnumerable(annotations);
        var epochs = new List<DetectionEpoch>();
        var trainer = _ml.MulticlassClassification.Trainers.ObjectDetectionAttention(new()
        {
            Architecture = Tiny with { IsReparameterized = true, HasUnscaledPositions = true, ProposalSize = 8 },
            Preprocessing = new() { ShorterSide = 64, LongerSide = 64 },
            TrainingHeight = 64, TrainingWidth = 64,
            Augmentation = new() { Crop = 0, LeastScale = 1, Light = 0, HorizontalFlip = 0 },
            EpochCount = 250, BatchSize = 4, LearningRate = 1e-3f, WarmUpSteps = 20, CopyCount = 4, Seed = 1,
            Scoring = new() { BatchSize = 1, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
            Progress = new Recorder(epochs),
        });
        var promised = trainer.GetOutputSchema(SchemaShape.Create(data.Schema)).Select(column => column.Name);
        Assert.Equal(["Image", "Boxes", "Labels", "Ignored", "PredictedBoxes", "Scores", "PredictedLabels"], promised);
        var detector = trainer.Fit(data);

        Assert.Equal(250, epochs.Count);
        Assert.Equal(500, detector.Trace!.StepLosses.Count);
        Assert.True(epochs[^1].Loss < 0.5f * epochs[0].Loss, $"loss {epochs[0].Loss} to {epochs[^1].Loss}");
        Assert.Equal(["dark", "pale"], detector.Classes);
        var metrics = _ml.MulticlassClassification.EvaluateDetections(detector.Transform(data));
        Assert.True(metrics.AP50 > 0.5, metrics.ToString());
    }

    [Theory]
    [InlineData(TrainingPrecision.Float32)]
    [InlineData(TrainingPrecision.Mixed)]
    public void TheBestEpochOnOtherPicturesIsKept(TrainingPrecision precision)
    {
        var random = new Random(2);
        var data = _ml.Data.LoadFromEnumerable(Enumerable.Range(0, 4).Select(i => Squares($"few{i}.png", random)).ToArray());
        var others = _ml.Data.LoadFromEnumerable(Enumerable.Range(0, 2).Select(i => Squares($"other{i}.png", random)).ToArray());
        var epochs = new List<DetectionEpoch>();
        var detector = _ml.MulticlassClassification.Trainers.ObjectDetectionAttention(new()
        {
            Architecture = Tiny with { IsReparameterized = true, HasUnscaledPositions = true, ProposalSize = 8 },
            Preprocessing = new() { ShorterSide = 64, LongerSide = 64 },
            TrainingHeight = 64, TrainingWidth = 64,
            EpochCount = 5, BatchSize = 2, LearningRate = 1e-3f, WarmUpSteps = 2, CopyCount = 4, Seed = 1, Precision = precision,
            ValidationData = others, ValidationEpochs = 2, KeepBest = true,
            Scoring = new() { BatchSize = 1, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
            Progress = new Recorder(epochs),
        }).Fit(data);

        Assert.Equal([false, true, false, true, true], epochs.Select(epoch => epoch.Validation is not null));
        Assert.All(epochs, epoch => Assert.True(float.IsFinite(epoch.Loss)));
        var best = epochs.Where(epoch => epoch.Validation is not null).MaxBy(epoch => epoch.Validation!.AP)!;
        Assert.Equal(best.Epoch, detector.Trace!.BestEpoch);
        Assert.Equal(best.Validation!.AP, _ml.MulticlassClassification.EvaluateDetections(detector.Transform(others)).AP, 1e-9);
        Assert.Contains("ValidationData", Assert.Throws<ArgumentException>(
            () => _ml.MulticlassClassification.Trainers.ObjectDetectionAttention(new() { KeepBest = true })).Message);
    }

    [Fact]
    public void TheDrawingShowsTheBoxes()
    {
        var path = Draw("a.png", 96, 64);
        var plot = Path.Combine(_folder, "plot.png");
        var objects = DrawnObject.From([10, 10, 50, 40], ["cat"], [0.9f]);
        DetectedObjects.Save([(path, objects), (Path.Combine(_folder, "missing.png"), [])], plot, columns: 2, width: 96);
        using var drawn = SKBitmap.Decode(plot);
        Assert.Equal((2 * 102) + 6, drawn.Width);
        // The left edge of the box, 10 pixels into the picture that begins at 6, below the label.
        var pixel = drawn.GetPixel(16, 6 + 4 + 35);
        Assert.True(pixel.Red > 150 && pixel.Green < 100, $"{pixel}");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private ITransformer Detector(int batchSize, Func<ScoringOptions, ScoringOptions>? scoring = null, float leastScore = 0)
    {
        var model = PlainDetr.Build(Tiny, new RandomWeights(3), detectionCount: 24);
        var options = new ScoringOptions { BatchSize = batchSize, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } };
        return _ml.Transforms.DetectObjects(new()
        {
            Model = model.ToBytes(),
            Labels = ["cat", "dog"],
            Preprocessing = new() { ShorterSide = 64, LongerSide = 128 },
            LeastScore = leastScore,
            Scoring = scoring?.Invoke(options) ?? options,
        }).Fit(Rows([]));
    }

    private DetectionRow[] Score(ITransformer detector, string[] paths) =>
        [.. _ml.Data.CreateEnumerable<DetectionRow>(detector.Transform(Rows(paths)), reuseRowObject: false)];

    private IDataView Rows(string[] paths) => _ml.Data.LoadFromEnumerable(paths.Select(path => new ImageRow { Image = path }));

    private string Draw(string name, int width, int height)
    {
        var path = Path.Combine(_folder, name);
        using var bitmap = new SKBitmap(width, height);
        for (var y = 0; y < height; y++)
        {
            for (var x = 0; x < width; x++)
                bitmap.SetPixel(x, y, new SKColor((byte)(x * 5), (byte)(y * 7), (byte)((x * y) + name[0])));
        }
        Save(bitmap, path);
        return path;
    }

    private AnnotatedPicture Squares(string name, Random random)
    {
        var path = Path.Combine(_folder, name);
        using var bitmap = new SKBitmap(64, 64);
        using var canvas = new SKCanvas(bitmap);
        canvas.Clear(new SKColor(128, 128, 128));
        var boxes = new List<float>();
        for (var i = 0; i < 2; i++)
        {
            var (x, y, side) = ((32 * i) + random.Next(8), random.Next(36), 16 + random.Next(8));
            using var paint = new SKPaint { Color = i == 0 ? SKColors.White : SKColors.Black };
            canvas.DrawRect(x, y, side, side, paint);
            boxes.AddRange([x, y, x + side, y + side]);
        }
        Save(bitmap, path);
        return new() { Image = path, Boxes = [.. boxes], Labels = ["pale", "dark"], Ignored = [false, false] };
    }

    private static void Save(SKBitmap bitmap, string path)
    {
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        using var file = File.Create(path);
        data.SaveTo(file);
    }

    private static void AssertClose(float[] expected, float[] actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance, $"[{i}]: {actual[i]}, expected {expected[i]}");
    }

    private sealed class Recorder(List<DetectionEpoch> epochs) : IProgress<DetectionEpoch>
    {
        public void Report(DetectionEpoch value) => epochs.Add(value);
    }

    private sealed class ImageRow
    {
        public string Image { get; set; } = "";
    }

    private sealed class DetectionRow
    {
        [VectorType]
        public float[] PredictedBoxes { get; set; } = [];

        [VectorType]
        public float[] Scores { get; set; } = [];

        [VectorType]
        public uint[] PredictedLabels { get; set; } = [];
    }
}
