using System.Diagnostics;
using System.Security.Cryptography;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Attention.Vision.Plots;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains SCCAN by episodes: a picture, some others that show an object of the same class with their masks, and Dice's loss on the mask of
/// the first one. The result knows no class, so it is no transformer; <see cref="FewShotSegmentationEstimator"/> makes one of it and a
/// support set.
/// <para>
/// Source: "Self-Calibrated Cross Attention Network for Few-Shot Segmentation" (ICCV 2023, arXiv 2308.09294): episodes, loss, augmentation,
/// batch size and the protocol of classes. Published are AdamW at a constant rate of 6e-5 for the attention blocks, and SGD at a rate that
/// falls from 0.05 for all else; <see cref="Options.SgdLearningRate"/> sets the two optimisers, whose rates fall along the same cosine here.
/// By default AdamW trains all.
/// </para>
/// </summary>
public sealed partial class FewShotSegmentationTrainer
{
    private const float SgdWeightDecay = 1e-4f;
    private const string LabelInput = "labels";
    private const string ClassInput = "classes";
    private const string CorrectMetric = "correct";
    private const string FeaturesOutput = "features";
    private const string AuxiliaryOutput = "auxiliary";
    private const string AuxiliaryPrefix = "auxiliary.";

    private readonly IHost _host;
    private readonly Options _options;

    internal FewShotSegmentationTrainer(IHostEnvironment environment, Options options)
    {
        options.Validate();
        (_host, _options) = (environment.Register(nameof(FewShotSegmentationTrainer)), options);
    }

    /// <summary>Trains a model.</summary>
    /// <param name="input">Pictures and their labels.</param>
    /// <exception cref="InvalidOperationException">
    /// There is nothing to train on, the training does not converge, or the checkpoint is of another training.
    /// </exception>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    /// <exception cref="OperationCanceledException"><see cref="Options.Cancellation"/> was cancelled.</exception>
    public FewShotSegmentationModel Fit(IDataView input)
    {
        _host.CheckValue(input, nameof(input));
        using var channel = _host.Start("Training");
        var seed = _options.Seed ?? TrainingCheckpoint.FindSeed(_options.CheckpointFolder) ?? _host.Rand.Next();
        var pictures = SegmentedPicture.Read(
            input, Column(_options.ImageColumnName), Column(_options.MaskColumnName), _options.Classes, channel, _options.Cancellation);
        var config = _options.Architecture;
        var episodes = new Episodes(pictures, config.ShotCount, _options.LeastObjectArea);
        channel.Info($"{episodes.Queries.Count} pictures with {episodes.Classes.Count} classes to train on.");
        var episodeCount = _options.EpisodesPerEpoch ?? episodes.Queries.Count;
        var batchSize = Math.Min(_options.BatchSize, episodeCount);
        var batches = new EpisodeBatches(
            pictures, episodes, _options.Augmentation, config.ShotCount, config.ImageSize, batchSize, episodeCount / batchSize, seed);

        var model = StartingModel(episodes.Classes.Count + 1, seed);
        using var trainer = CreateTrainer(model, batchSize, seed, channel);
        var checkpoint = TrainingCheckpoint.In(_options.CheckpointFolder, () => Describe(model, seed, pictures));
        var progress = checkpoint?.Restore(trainer) ?? new();
        RunEpochs(trainer, batches, batchSize, progress, checkpoint, channel);
        var trained = trainer.Export(averaged: _options.WeightAveraging is not null).Graph.Initializers;
        var weights = trained.Where(entry =>
            Graph.IsWeight(entry.Key, entry.Value) && !entry.Key.StartsWith(AuxiliaryPrefix, StringComparison.Ordinal)).ToDictionary();
        return new(config, new Checkpoint(weights, "the trained model")) { Trace = progress.Trace };

        PictureColumn Column(string name) => new(input.Schema, name, _options.ImageFolder);
    }

    // With a head for the auxiliary loss, if there is one.
    private OnnxModel StartingModel(int classCount, int seed)
    {
        var model = Sccan.BuildEpisodes(_options.Architecture, Weights(seed), withFeatures: _options.AuxiliaryWeight > 0);
        if (_options.AuxiliaryWeight > 0)
        {
            var builder = new GraphBuilder(model.Graph);
            var features = builder[FeaturesOutput];
            long[] dims = [classCount, features.Shape[1].Value, 1, 1];
            var weight = Initialization.FanIn(dims[1]).Draw(seed, AuxiliaryPrefix + "weight", dims);
            var classes = features.Conv2d(builder.Initializer(AuxiliaryPrefix + "weight", weight), bias: null);
            builder.Output(AuxiliaryOutput, Sccan.Resize(classes, LogitSize));
        }
        return model;
    }

    private WeightSource Weights(int seed)
    {
        const string Backbone = "backbone.body.";
        var random = new RandomWeights(seed);
        if (_options.PretrainedWeights is not { } path)
            return random;
        var file = Checkpoint.Load(path);
        var names = file.Names.ToHashSet(StringComparer.Ordinal);
        return names.Any(name => name.StartsWith(Backbone, StringComparison.Ordinal))
            ? file.Replace(name => !names.Contains(name), random)
            : new BackboneWeights(file, Backbone, random);
    }

    private Trainer CreateTrainer(OnnxModel model, int batchSize, int seed, IChannel channel)
    {
        var graph = TrainingGraph.Build(
            model,
            new Dictionary<string, long> { ["N"] = batchSize },
            (builder, outputs) =>
            {
                var labels = builder.Input(LabelInput, TensorElementType.Int64, [batchSize, LogitSize, LogitSize]);
                var logits = outputs["logits"];
                var predicted = builder.Op("ArgMax", [logits], new() { ["axis"] = 1, ["keepdims"] = 0 });
                builder.Output(CorrectMetric, builder.Op("Equal", [predicted, labels]).Cast(TensorElementType.Float).ReduceSum([0, 1, 2]));
                var loss = Losses.Dice(logits, labels);
                if (_options.CrossEntropyWeight > 0)
                    loss += CrossEntropy(logits, labels) * _options.CrossEntropyWeight;
                if (_options.AuxiliaryWeight > 0)
                {
                    var classes = builder.Input(ClassInput, TensorElementType.Int64, [batchSize, LogitSize, LogitSize]);
                    loss += CrossEntropy(outputs[AuxiliaryOutput], classes) * _options.AuxiliaryWeight;
                }
                return loss;
            },
            new TrainingOptions
            {
                Precision = _options.Precision,
                FreezeBatchNormalization = _options.Architecture.IsBackboneFrozen,
                IsTrainable = name => !_options.Architecture.IsBackboneFrozen || !name.StartsWith("backbone.", StringComparison.Ordinal),
                Optimizer = new AdamW
                {
                    WeightDecay = _options.WeightDecay,
                    ClipNorm = _options.MaxGradientNorm,
                    AverageDecay = _options.WeightAveraging,
                },
                SecondOptimizer = _options.SgdLearningRate is not { } rate ? null : new Sgd
                {
                    WeightDecay = SgdWeightDecay,
                    LearningRateScale = _ => rate / _options.LearningRate,
                },
                UsesSecondOptimizer = name => !name.StartsWith("transformer.", StringComparison.Ordinal),
            });
        return TrainingSession.Start(_host, graph, _options.Session, batchSize, seed, channel);
    }

    // Of logits [N, classes, H, W], the mean over the pixels that count.
    private static Value CrossEntropy(Value logits, Value labels)
    {
        var (builder, classCount) = (logits.Builder, logits.Shape[1].Value);
        var (ignored, none) = (builder.Constant(Tensor.Scalar((long)LabelMap.Ignored)), builder.Constant(Tensor.Scalar(0L)));
        var isIgnored = builder.Op("Equal", [labels.Reshape(-1, 1), ignored]);
        var counts = 1 - isIgnored.Cast(TensorElementType.Float);
        var logProbabilities = logits.Transpose(0, 2, 3, 1).Reshape(-1, classCount).LogSoftmax();
        var picked = logProbabilities.GatherElements(isIgnored.Where(none, labels.Reshape(-1, 1)), 1);
        return -(picked * counts).ReduceSum([0, 1]) / (counts.ReduceSum([0, 1]) + 1);
    }

    private void RunEpochs(
        Trainer trainer, EpisodeBatches batches, int batchSize, TrainingProgress progress, TrainingCheckpoint? checkpoint, IChannel channel)
    {
        var stepCount = (long)_options.EpochCount * batches.Count;
        var schedule = new CosineSchedule(_options.LearningRate, stepCount, WarmUpSteps: (long)(stepCount * _options.WarmUp));
        var (clock, before) = (Stopwatch.StartNew(), progress.Elapsed);
        try
        {
            while (!progress.HasEnded)
            {
                var meter = new EpochMeter();
                foreach (var batch in meter.Await(batches.Epoch(progress.Epoch, progress.Batch, _options.Cancellation)))
                {
                    _options.Cancellation.ThrowIfCancellationRequested();
                    Feed(trainer, batch);
                    var loss = Step(trainer, schedule.At(Place()));
                    progress.AddBatch(loss, trainer.Metric(CorrectMetric) / Math.Max(1, batch.LabelCount), batchesPerStep: 1);
                    _options.BatchEnded?.Invoke(trainer.BatchCount);
                    if (Place() >= stepCount)
                        break;
                }
                progress.Elapsed = before + clock.Elapsed;
                progress.EndEpoch(new()
                {
                    Epoch = progress.Epoch,
                    Steps = progress.StepLosses.Count,
                    Loss = (float)(progress.LossSum / progress.LossCount),
                    LearningRate = schedule.At(Place()),
                    TrainingAccuracy = progress.Correct / progress.Batch,
                    Elapsed = progress.Elapsed,
                    PicturesPerSecond = meter.BatchesPerSecond * batchSize * (1 + _options.Architecture.ShotCount),
                    WaitShare = meter.WaitShare,
                    LossScale = trainer.LossScale,
                    SkippedSteps = trainer.SkippedStepCount,
                });
                progress.HasEnded = progress.Epochs.Count == _options.EpochCount || Place() >= stepCount;
                channel.Info(progress.Epochs[^1].ToString());
                if (_options.TracePlot is { } plot)
                    LossCurve.Save(progress.Trace, plot);
                if (progress.HasEnded || progress.Epochs.Count % _options.CheckpointEpochs == 0)
                    checkpoint?.Write(trainer, progress);
                _options.Progress?.Report(progress.Epochs[^1]);
            }
        }
        catch (OperationCanceledException) when (checkpoint is not null)
        {
            progress.Elapsed = before + clock.Elapsed;
            checkpoint.Write(trainer, progress);
            channel.Info($"Cancelled after step {trainer.StepCount}; the same training goes on from there.");
            throw;
        }

        // How far the training is on its way, by steps or by the clock.
        long Place() => _options.TimeLimit is { } limit
            ? Math.Max(trainer.StepCount, (long)(stepCount * Math.Min(1, (before + clock.Elapsed) / limit)))
            : trainer.StepCount;
    }

    private float Step(Trainer trainer, float learningRate)
    {
        var loss = trainer.Step(learningRate);
        // In mixed precision the trainer skips steps that overflow.
        return float.IsFinite(loss) || _options.Precision == TrainingPrecision.Mixed ? loss : throw new InvalidOperationException(
            $"The loss of step {trainer.StepCount} is {loss}: the training does not converge. Lower {nameof(Options.LearningRate)} "
            + $"or {nameof(Options.MaxGradientNorm)}, or raise {nameof(Options.WarmUp)}.");
    }

    private int LogitSize => _options.Architecture.OutputSize ?? _options.Architecture.ImageSize;

    private void Feed(Trainer trainer, EpisodeBatch batch)
    {
        batch.Queries.CopyTo(trainer.Input<float>("x"));
        batch.Supports.CopyTo(trainer.Input<float>("support"));
        batch.Masks.CopyTo(trainer.Input<byte>("mask"));
        batch.Labels.CopyTo(trainer.Input<long>(LabelInput));
        if (_options.AuxiliaryWeight > 0)
            batch.Classes.CopyTo(trainer.Input<long>(ClassInput));
    }

    /// <summary>What must not change between a training and the one that resumes it.</summary>
    private Dictionary<string, string> Describe(OnnxModel model, int seed, IReadOnlyList<SegmentedPicture> pictures) =>
        new(_options.Describe())
        {
            [nameof(Options.Seed)] = $"{seed}",
            ["Starting model"] = Convert.ToHexString(SHA256.HashData(model.ToBytes()))[..16],
            ["Training pictures"] = $"{pictures.Count}",
        };

    /// <summary>A checkpoint of a backbone alone, and random weights for the rest.</summary>
    private sealed class BackboneWeights(Checkpoint file, string prefix, WeightSource random) : WeightSource
    {
        public override string Description => file.Description;

        public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
            name.StartsWith(prefix, StringComparison.Ordinal)
                ? file.Find(name[prefix.Length..], dims, initialization)
                : random.Find(name, dims, initialization);
    }
}
