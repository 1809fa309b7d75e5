using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains a detector of the Plain DETR family, with hybrid matching: forward pass, matching, all losses, backward pass and optimiser are
/// one ONNX graph that ONNX Runtime runs, on the CPU or on CUDA.
/// </summary>
public sealed partial class ObjectDetectionAttentionTrainer : IEstimator<ObjectDetectionTransformer>
{
    private const string ClassLossMetric = "class_loss", OverlapLossMetric = "overlap_loss";

    private readonly IHost _host;
    private readonly Options _options;

    internal ObjectDetectionAttentionTrainer(IHostEnvironment environment, Options options)
    {
        options.Validate();
        (_host, _options) = (environment.Register(nameof(ObjectDetectionAttentionTrainer)), options);
    }

    /// <inheritdoc/>
    public ObjectDetectionTransformer Fit(IDataView input)
    {
        _host.CheckValue(input, nameof(input));
        using var channel = _host.Start("Training");
        var seed = _options.Seed ?? _host.Rand.Next();
        var classes = _options.Classes ?? ClassesOf(input);
        if (classes.Count == 0)
            throw new InvalidOperationException($"Column '{_options.Annotations.Labels}' has no labels to learn.");
        var pictures = new PictureColumn(input.Schema, _options.ImageColumnName, _options.ImageFolder);
        var samples = DetectionSample.Read(input, pictures, _options.Annotations, classes, channel, _options.Cancellation);
        if (samples.Count == 0)
            throw new InvalidOperationException("There is no picture to train on.");
        var config = _options.Architecture with { ClassCount = classes.Count };
        var largestCount = Math.Min(
            config.QueryCount, _options.LargestObjectCount ?? Math.Max(1, samples.Max(sample => sample.Boxes.Length)));
        var copyCount = Math.Min(_options.CopyCount, config.AuxiliaryQueryCount / largestCount);
        config = copyCount > 0 ? config : config with { AuxiliaryQueryCount = 0 };

        var batchSize = Math.Min(_options.BatchSize, samples.Count);
        var batches = new DetectionBatches(
            samples, _options.Preprocessing, _options.Augmentation, new(_options.TrainingWidth, _options.TrainingHeight),
            config.IsReparameterized, batchSize, largestCount, new(_options.PictureCacheBytes), seed);
        using var trainer = CreateTrainer(config, batchSize, largestCount, copyCount, seed, channel);
        var labels = ClassLabels.FromNames(_host, classes);
        var (trace, model) = Train(trainer, batches, () => Export(trainer, config), content => Measure(content, labels), channel);
        return new(_host, model, _options.Scoring, _options.Source, labels) { Trace = trace };
    }

    /// <inheritdoc/>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        _host.CheckValue(inputSchema, nameof(inputSchema));
        _options.Source.Check(_host, inputSchema);
        foreach (var name in new[] { _options.Annotations.Boxes, _options.Annotations.Labels })
        {
            if (!inputSchema.TryFindColumn(name, out var column) || column.Kind == SchemaShape.Column.VectorKind.Scalar)
                throw _host.ExceptSchemaMismatch(nameof(inputSchema), "annotation", name);
        }
        // The classes are not known yet.
        var classes = ClassLabels.FromNames(_host, _options.Classes ?? ["?"]);
        OutputColumn[] added =
        [
            new BoxesColumn(_options.Columns.Boxes, 0), new ScoresColumn(_options.Columns.Scores, 0),
            new ClassesColumn(_options.Columns.Classes, classes, 0),
        ];
        return OutputSchemaShape.Add(inputSchema, added.Select(column => column.Describe()));
    }

    private ModelContent Export(Trainer trainer, PlainDetrConfig config)
    {
        var weights = trainer.Export(averaged: _options.WeightAveraging is not null).Graph.Initializers;
        var checkpoint = new Checkpoint(weights.Where(entry => Graph.IsWeight(entry.Key, entry.Value)).ToDictionary(), "the trained model");
        return new(PlainDetr.Build(
            config, checkpoint, Math.Min(_options.DetectionCount, config.QueryCount * config.ClassCount)).ToBytes());
    }

    private DetectionMetrics Measure(ModelContent model, ClassLabels labels)
    {
        using var detector = new ObjectDetectionTransformer(_host, model, _options.Scoring, _options.Source, labels);
        return DetectionEvaluator.Evaluate(detector.Transform(_options.ValidationData!), _options.Columns, _options.Annotations);
    }

    private List<string> ClassesOf(IDataView data)
    {
        var column = data.Schema.GetColumnOrNull(_options.Annotations.Labels)
            ?? throw _host.ExceptSchemaMismatch(nameof(data), "label", _options.Annotations.Labels);
        using var cursor = data.GetRowCursor(column);
        var labels = LabelColumn.CreateGetter(cursor, column);
        var classes = new SortedSet<string>(StringComparer.Ordinal);
        while (cursor.MoveNext())
            classes.UnionWith(labels().OfType<string>());
        return [.. classes];
    }

    private Trainer CreateTrainer(PlainDetrConfig config, int batchSize, int largestCount, int copyCount, int seed, IChannel channel)
    {
        var model = PlainDetr.BuildForTraining(config, WeightsFor(config, seed), _options.TrainingHeight, _options.TrainingWidth);
        var graph = TrainingGraph.Build(
            model,
            new Dictionary<string, long> { ["N"] = batchSize },
            (builder, outputs) =>
            {
                var loss = new DetectionLoss(config, DetectionTargets.AddInputs(builder, batchSize, largestCount), copyCount);
                var total = loss.Of(outputs);
                builder.Output(ClassLossMetric, loss.Terms["loss_ce"]);
                builder.Output(OverlapLossMetric, loss.Terms["loss_giou"]);
                return total;
            },
            new TrainingOptions
            {
                Precision = _options.Precision,
                Optimizer = new AdamW
                {
                    WeightDecay = _options.WeightDecay,
                    Decays = (name, _) => PlainDetrConfig.Decays(name),
                    LearningRateScale = name => MathF.Pow(_options.LayerDecay, config.BlocksBehind(name))
                        * (name.StartsWith("backbone.0.net.", StringComparison.Ordinal) ? _options.BackboneLearningRateScale : 1),
                    ClipNorm = _options.MaxGradientNorm,
                    AverageDecay = _options.WeightAveraging,
                },
            });
        return TrainingSession.Start(_host, graph, _options.Scoring.Session, batchSize, seed, channel);
    }

    private WeightSource WeightsFor(PlainDetrConfig config, int seed)
    {
        var random = new RandomWeights(seed);
        if (_options.PretrainedWeights is not { } path)
            return random;
        var file = Checkpoint.Load(path);
        var hasOtherClasses = file.Find("class_embed.0.bias", [config.ClassCount], Initialization.Zeros)?.Dims[0] != config.ClassCount;
        return file.Without(PlainDetr.IsRedundant)
            .Replace(name => hasOtherClasses && name.StartsWith("class_embed.", StringComparison.Ordinal), random);
    }

    private (DetectionTrace Trace, ModelContent Model) Train(
        Trainer trainer, DetectionBatches batches, Func<ModelContent> export, Func<ModelContent, DetectionMetrics> measure, IChannel channel)
    {
        var stepCount = (long)_options.EpochCount * batches.Count;
        var schedule = new CosineSchedule(_options.LearningRate, stepCount, _options.WarmUpSteps);
        var (losses, epochs, clock) = (new List<float>(), new List<DetectionEpoch>(), Stopwatch.StartNew());
        (int Epoch, double Precision, ModelContent Model)? best = null;
        for (var epoch = 1; epoch <= _options.EpochCount && Place() < stepCount; epoch++)
        {
            var (first, classLoss, overlapLoss) = (losses.Count, 0.0, 0.0);
            foreach (var batch in batches.Epoch(epoch, _options.Cancellation))
            {
                _options.Cancellation.ThrowIfCancellationRequested();
                Feed(trainer, batch);
                var loss = trainer.Step(schedule.At(Place()));
                // In mixed precision the trainer skips steps that overflow.
                if (!float.IsFinite(loss) && _options.Precision != TrainingPrecision.Mixed)
                {
                    throw new InvalidOperationException($"The loss of step {trainer.StepCount} is {loss}: the training does not converge. "
                        + $"Lower {nameof(Options.LearningRate)}, or raise {nameof(Options.WarmUpSteps)}.");
                }
                losses.Add(loss);
                classLoss += trainer.Metric(ClassLossMetric);
                overlapLoss += trainer.Metric(OverlapLossMetric);
            }
            var steps = losses.Count - first;
            var isLast = epoch == _options.EpochCount || Place() >= stepCount;
            var model = _options.ValidationData is not null && (isLast || epoch % _options.ValidationEpochs == 0) ? export() : null;
            var metrics = model is null ? null : measure(model);
            if (_options.KeepBest && metrics is not null && (best is not { } before || metrics.AP > before.Precision))
                best = (epoch, metrics.AP, model!);
            epochs.Add(new(
                epoch, losses.Count, losses.Skip(first).Average(), (float)(classLoss / steps), (float)(overlapLoss / steps),
                clock.Elapsed)
            {
                Validation = metrics,
            });
            channel.Info(epochs[^1].ToString());
            _options.Progress?.Report(epochs[^1]);
        }
        return (new(losses, epochs) { BestEpoch = best?.Epoch }, best?.Model ?? export());

        // How far the training is on its way, by steps or by the clock.
        long Place() => _options.TimeLimit is { } limit
            ? Math.Max(trainer.StepCount, (long)(stepCount * Math.Min(1, clock.Elapsed / limit)))
            : trainer.StepCount;
    }

    private static void Feed(Trainer trainer, DetectionBatch batch)
    {
        batch.Pixels.CopyTo(trainer.Input<float>("image"));
        batch.Sizes.CopyTo(trainer.Input<long>("size"));
        batch.Boxes.CopyTo(trainer.Input<float>("target_boxes"));
        batch.Classes.CopyTo(trainer.Input<long>("target_classes"));
        batch.Counts.CopyTo(trainer.Input<long>("target_count"));
    }
}
