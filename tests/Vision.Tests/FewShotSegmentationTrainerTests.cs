using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Vision.Tests;

public sealed class FewShotSegmentationTrainerTests : IDisposable
{
    private const int Unseen = DrawnObjects.ClassCount, SeenCount = Unseen - 2;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void AClassThatWasNeverSeenIsFound()
    {
        var model = Fit(Options(epochs: 12));

        var losses = model.Trace!.Epochs.Select(epoch => epoch.Loss).ToArray();
        Assert.True(losses[^1] < 0.6 * losses[0], string.Join(" ", losses));
        var metrics = Measure(model, Unseen);
        Assert.True(metrics.MeanIoU > 0.35, metrics.ToString());
        var untrained = Measure(new(FewShotSegmentationTests.Tiny, new RandomWeights(1)), Unseen);
        Assert.True(untrained.MeanIoU < metrics.MeanIoU - 0.2, untrained.ToString());
    }

    [Fact]
    public void TheSameSeedGivesTheSameWeightsAndTheTraceIsDrawn()
    {
        var plot = Path.Combine(_folder, "training.png");
        var (options, again) = (Options(epochs: 1), Options(epochs: 1));
        options.TracePlot = plot;

        var (first, second) = (Saved(Fit(options)), Saved(Fit(again)));

        Assert.Equal(first, second);
        Assert.NotEqual(first, Saved(Fit(Options(epochs: 1, seed: 2))));
        Assert.True(File.Exists(plot));
    }

    [Fact]
    public void ACancelledTrainingGoesOnToTheSameWeights()
    {
        using var stop = new CancellationTokenSource();
        var (whole, interrupted, resumed) = (Options(epochs: 2), Options(epochs: 2), Options(epochs: 2));
        interrupted.CheckpointFolder = resumed.CheckpointFolder = Path.Combine(_folder, "checkpoint");
        interrupted.Cancellation = stop.Token;
        interrupted.BatchEnded = number =>
        {
            if (number == 13)
                stop.Cancel();
        };

        Assert.ThrowsAny<OperationCanceledException>(() => Fit(interrupted));
        var model = Fit(resumed);

        var expected = Fit(whole);
        Assert.Equal(Saved(expected), Saved(model));
        Assert.Equal(expected.Trace!.StepLosses, model.Trace!.StepLosses);
    }

    [Fact]
    public void ACheckpointOfAnotherTrainingIsRefused()
    {
        var (first, second) = (Options(epochs: 1), Options(epochs: 2));
        first.CheckpointFolder = second.CheckpointFolder = Path.Combine(_folder, "checkpoint");
        Fit(first);

        Assert.Contains("EpochCount is 2, it was 1", Assert.Throws<InvalidOperationException>(() => Fit(second)).Message);
    }

    [Fact]
    public void TheTimeLimitEndsTheTraining()
    {
        var options = Options(epochs: 1000);
        options.TimeLimit = TimeSpan.FromSeconds(1);

        Assert.InRange(Fit(options).Trace!.StepLosses.Count, 1, 500);
    }

    [Fact]
    public void ThePublishedOptimisersTrain()
    {
        var options = Options(epochs: 4);
        (options.LearningRate, options.SgdLearningRate) = (1e-3f, 0.05f);

        var losses = Fit(options).Trace!.Epochs.Select(epoch => epoch.Loss).ToArray();

        Assert.True(losses[^1] < 0.9 * losses[0], string.Join(" ", losses));
    }

    [Fact]
    public void TwoShotsAreTrained()
    {
        var options = Options(epochs: 1);
        options.Architecture = FewShotSegmentationTests.Tiny with { ShotCount = 2 };

        Assert.True(float.IsFinite(Fit(options).Trace!.Epochs[0].Loss));
    }

    [Fact]
    public void TheAuxiliaryLossTrainsTheBackboneAndLeavesNothingBehind()
    {
        var (plain, helped) = (Options(epochs: 1), Options(epochs: 1));
        helped.AuxiliaryWeight = 1;

        var (first, second) = (Weights(Fit(plain)), Weights(Fit(helped)));

        Assert.Equal(first.Keys.Order(), second.Keys.Order());
        const string Stem = "backbone.body.conv1.weight";
        Assert.NotEqual(first[Stem].Data.ToArray(), second[Stem].Data.ToArray());

        helped.Architecture = FewShotSegmentationTests.Tiny with { IsBackboneFrozen = true };
        Assert.Contains("AuxiliaryWeight is 1", Assert.Throws<ArgumentException>(() => Fit(helped)).Message);
    }

    [Fact]
    public void AFrozenBackboneKeepsItsPretrainedWeights()
    {
        const string Prefix = "backbone.body.";
        var backbone = Sccan.BuildBackbone(FewShotSegmentationTests.Tiny, new RandomWeights(9)).Graph.Initializers
            .Where(entry => entry.Key.StartsWith(Prefix, StringComparison.Ordinal))
            .ToDictionary(entry => entry.Key[Prefix.Length..], entry => entry.Value);
        var file = Path.Combine(_folder, "backbone.safetensors");
        SafetensorsFile.Write(file, backbone);
        var options = Options(epochs: 1);
        options.Architecture = FewShotSegmentationTests.Tiny with { IsBackboneFrozen = true };
        options.PretrainedWeights = file;

        var trained = Weights(Fit(options));

        Assert.All(backbone, entry => Assert.Equal(entry.Value.Data.ToArray(), trained[Prefix + entry.Key].Data.ToArray()));
    }

    [Fact]
    public void PicturesWithOtherClassesAreLeftOutAndTooFewAreAnError()
    {
        var options = Options(epochs: 1);
        options.Classes = [1, 2];
        // Of the pictures' pairs of classes only that of 1 and 2 is left.
        Assert.Single(Fit(options).Trace!.Epochs);

        options.Classes = [1];
        Assert.Contains("no class covers 20 pixels", Assert.Throws<InvalidOperationException>(() => Fit(options)).Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private FewShotMetrics Measure(FewShotSegmentationModel model, int label)
    {
        var (image, mask) = DrawnObjects.Draw(label, 2, seed: 1000);
        var support = new SupportSet().Add("unseen", image, DrawnObjects.Only(mask, label));
        var queries = Enumerable.Range(2000, 20).Select(seed => DrawnObjects.Draw(label, 1 + (seed % SeenCount), seed)).ToArray();
        using var segmenter = _ml.Transforms.SegmentFewShot(support, new FewShotSegmentationEstimator.Options { Model = model })
            .Fit(Rows([]));
        var masks = segmenter.Transform(Rows(queries)).GetColumn<MLImage>("PredictedMask");
        var evaluator = new FewShotEvaluator();
        foreach (var (query, predicted) in queries.Zip(masks))
        {
            evaluator.Add("unseen", FewShotSegmentationTests.Levels(predicted),
                FewShotSegmentationTests.Levels(DrawnObjects.Only(query.Mask, label)).Select(level => (byte)(level & 1)).ToArray());
        }
        return evaluator.Measure();
    }

    private FewShotSegmentationModel Fit(FewShotSegmentationTrainer.Options options) =>
        _ml.Transforms.FewShotSegmentation(options).Fit(Rows([.. Enumerable.Range(0, 120)
            .Select(seed => DrawnObjects.Draw(1 + (seed % SeenCount), 1 + ((seed + 1) % SeenCount), seed))]));

    private IDataView Rows((MLImage Image, MLImage Mask)[] pictures) => _ml.Data.LoadFromEnumerable(
        pictures.Select(picture => new FewShotSegmentationTests.Row { Image = picture.Image, Mask = picture.Mask }));

    private Dictionary<string, Tensor> Weights(FewShotSegmentationModel model)
    {
        Saved(model);
        using var file = SafetensorsFile.Open(Path.Combine(_folder, "model.safetensors"));
        return file.ReadAll();
    }

    private byte[] Saved(FewShotSegmentationModel model)
    {
        var file = Path.Combine(_folder, "model.safetensors");
        model.Save(file);
        return File.ReadAllBytes(file);
    }

    private static FewShotSegmentationTrainer.Options Options(int epochs, int seed = 1) => new()
    {
        Architecture = FewShotSegmentationTests.Tiny,
        LeastObjectArea = 20,
        EpochCount = epochs,
        BatchSize = 6,
        LearningRate = 3e-3f,
        CrossEntropyWeight = 1,
        Seed = seed,
        Session = new() { ExecutionProvider = ExecutionProvider.Cpu },
    };
}
