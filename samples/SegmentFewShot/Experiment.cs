using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using Samples.Data;

namespace SegmentFewShot;

/// <summary>What the command line says.</summary>
internal sealed record ExperimentOptions
{
    public required Fold Fold { get; init; }

    public required int ShotCount { get; init; }

    /// <summary>The height and width of scenes and model.</summary>
    public required int Size { get; init; }

    public required int SceneCount { get; init; }

    public required int EpochCount { get; init; }

    public required TimeSpan? TimeLimit { get; init; }

    public required int BatchSize { get; init; }

    public required float LearningRate { get; init; }

    public required int SetCount { get; init; }

    public required int QueryCount { get; init; }

    public required ExecutionProvider Device { get; init; }

    public required TrainingPrecision Precision { get; init; }

    public required string Data { get; init; }

    public required string Output { get; init; }

    public required int Seed { get; init; }

    public CancellationToken Cancellation { get; init; }
}

/// <summary>Trains on scenes of eight classes, then measures on scenes of the two others.</summary>
internal sealed class Experiment(ExperimentOptions options, Action<string> say)
{
    private readonly MLContext _context = new(options.Seed);

    private OnnxSessionOptions Session => new() { ExecutionProvider = options.Device };

    /// <summary>Fewer channels and blocks for small scenes, which are for a CPU.</summary>
    private SccanConfig Architecture
    {
        get
        {
            var nano = Sccan.Variants["sccan_nano"] with
            {
                ShotCount = options.ShotCount, ImageSize = options.Size, FeatureSize = options.Size / 4,
            };
            return options.Size >= 128
                ? nano
                : nano with { Backbone = nano.Backbone with { Widths = [16, 24, 32, 48] }, Width = 32, BlockCount = 2 };
        }
    }

    /// <summary>Runs all and returns a line that sums it up.</summary>
    public string Run()
    {
        Directory.CreateDirectory(options.Output);
        var model = Train();
        var path = Path.Combine(options.Output, "few-shot.safetensors");
        model.Save(path);

        var garments = Garments.Read(options.Data, "test");
        int[] all = [.. Enumerable.Range(0, Fold.Classes.Count)];
        var (training, test) = (options.Fold.Training, options.Fold.Test);
        // Classes that were trained choose the baseline's threshold, with other garments of them.
        var choice = EpisodeSet.Draw(training, training, garments, options.Size, setCount: 2, options.ShotCount, queryCount: 8, seed: 1);
        var sets = EpisodeSet.Draw(test, all, garments, options.Size, options.SetCount, options.ShotCount, options.QueryCount, seed: 2);
        var baseline = new PrototypeBaseline(
            _context, Sccan.BuildBackbone(Architecture, Checkpoint.Load(path)).ToBytes(), options.Size, new() { BatchSize = 16, Session = Session });
        baseline.Choose(choice);
        say($"prototype baseline: {baseline}");

        var (ours, theirs) = (new FewShotEvaluator(), new FewShotEvaluator());
        var shown = new List<(EpisodeSet, int, byte[], byte[])>();
        foreach (var (number, set) in sets.Index())
        {
            options.Cancellation.ThrowIfCancellationRequested();
            var (masks, baselines) = (Segment(model, set).ToArray(), baseline.Segment(set).ToArray());
            for (var i = 0; i < masks.Length; i++)
            {
                ours.Add(set.Label, masks[i], set.Queries[i].Only(set.Class));
                theirs.Add(set.Label, baselines[i], set.Queries[i].Only(set.Class));
            }
            if (number % Math.Max(1, sets.Count / 6) == 0)
                shown.Add((set, 0, baselines[0], masks[0]));
        }
        ContactSheet.Save(shown, Path.Combine(options.Output, "episodes.png"));
        var seen = new FewShotEvaluator();
        foreach (var set in choice)
        {
            foreach (var (mask, query) in Segment(model, set).Zip(set.Queries))
                seen.Add(set.Label, mask, query.Only(set.Class));
        }
        say($"classes of the training, other garments: SCCAN {seen.Measure()}");
        say($"new classes: prototype baseline {theirs.Measure()}");
        say($"new classes: SCCAN {ours.Measure()}");
        return Line(model, ours.Measure(), theirs.Measure());
    }

    private FewShotSegmentationModel Train()
    {
        var garments = Garments.Read(options.Data, "train");
        say($"{garments.Count:N0} garments; new in the test: {string.Join(" and ", options.Fold.Test.Select(number => Fold.Classes[number]))}");
        var classes = options.Fold.Training;
        var scenes = Enumerable.Range(0, options.SceneCount).AsParallel().AsOrdered().Select(index =>
        {
            var random = new Random((options.Seed * 1_000_003) + index);
            var shown = Enumerable.Range(0, random.Next(2, 5)).Select(_ => classes[random.Next(classes.Count)]);
            return Scene.Compose([.. shown], garments, options.Size, random);
        }).ToArray();
        say($"{scenes.Length:N0} scenes composed");
        return _context.Transforms.FewShotSegmentation(new FewShotSegmentationTrainer.Options
        {
            Architecture = Architecture,
            Classes = [.. classes.Select(number => number + 1)],
            LeastObjectArea = Scene.LeastArea(options.Size),
            Augmentation = new() { BlurProbability = 0.2 },
            EpochCount = options.EpochCount,
            TimeLimit = options.TimeLimit,
            BatchSize = options.BatchSize,
            LearningRate = options.LearningRate,
            CrossEntropyWeight = 1,
            AuxiliaryWeight = 1,
            Precision = options.Precision,
            Session = Session,
            Seed = options.Seed,
            TracePlot = Path.Combine(options.Output, "training.png"),
            Progress = new EpochLines(say),
            Cancellation = options.Cancellation,
        }).Fit(_context.Data.LoadFromEnumerable(scenes));
    }

    // The support set goes through the model once, for all queries of the set.
    private IEnumerable<byte[]> Segment(FewShotSegmentationModel model, EpisodeSet set)
    {
        var support = new SupportSet();
        foreach (var scene in set.Supports)
            support.Add(set.Label, scene.Image, scene.OnlyAsImage(set.Class));
        using var segmenter = _context.Transforms.SegmentFewShot(support, new FewShotSegmentationEstimator.Options
        {
            Model = model,
            Scoring = new() { BatchSize = 16, Session = Session },
        }).Fit(_context.Data.LoadFromEnumerable(set.Queries));
        foreach (var runs in segmenter.Transform(_context.Data.LoadFromEnumerable(set.Queries)).GetColumn<int[]>("PredictedRuns"))
            yield return MaskRuns.Decode(runs, options.Size, options.Size);
    }

    private string Line(FewShotSegmentationModel model, FewShotMetrics ours, FewShotMetrics theirs)
    {
        var last = model.Trace!.Epochs[^1];
        return string.Create(CultureInfo.InvariantCulture,
            $"RESULT fold {options.Fold.Number} ({string.Join(", ", options.Fold.Test.Select(number => Fold.Classes[number]))}), "
            + $"{options.ShotCount} shot, {options.Size} x {options.Size}: SCCAN mIoU {ours.MeanIoU:0.000} FB-IoU "
            + $"{ours.ForegroundBackgroundIoU:0.000}; prototype mIoU {theirs.MeanIoU:0.000} FB-IoU {theirs.ForegroundBackgroundIoU:0.000}; "
            + $"{ours.PictureCount} episodes; {last.Steps} steps of {options.BatchSize} in {last.Elapsed.TotalSeconds:0} s on {options.Device}, "
            + $"{last.PicturesPerSecond:0} pictures/s, {last.WaitShare:0.0%} waiting");
    }
}
