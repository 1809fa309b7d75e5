using System.Diagnostics;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Vision.Plots;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains a model that classifies pictures: an architecture with random weights or those of a checkpoint, or any ONNX classifier, which is
/// given a new head. Forward pass, backward pass and optimiser are one ONNX graph that ONNX Runtime runs, on the CPU or on CUDA. With the
/// same seed a training gives the same model, bit for bit on the same machine, even if it was interrupted and resumed.
/// </summary>
public sealed partial class ImageAttentionTrainer : ClassifierTrainerBase<ImageClassificationTransformer>
{
    private readonly Options _options;

    internal ImageAttentionTrainer(IHostEnvironment environment, Options options)
        : base(environment.Register(nameof(ImageAttentionTrainer)), options.Columns)
    {
        options.Validate();
        _options = options;
    }

    private protected override void CheckInput(SchemaShape inputSchema) =>
        _options.Images(ImagePreprocessing.ImageNet()).Check(Host, inputSchema);

    private protected override ImageClassificationTransformer Train(IDataView trainSet, IDataView? validationSet, ClassLabels labels)
    {
        using var channel = Host.Start("Training");
        var seed = _options.Seed ?? TrainingCheckpoint.FindSeed(_options.CheckpointFolder) ?? Host.Rand.Next();
        var samples = Read(trainSet, labels, channel);
        var validation = validationSet is not null ? Read(validationSet, labels, channel)
            : samples.SplitOff(_options.ValidationFraction, seed);
        using var run = Prepare(samples, validation, labels, seed, channel);

        var checkpoint = TrainingCheckpoint.In(_options.CheckpointFolder, () => Describe(run.Model, seed, samples, validation));
        var progress = checkpoint?.Restore(run.Trainer) ?? new();
        if (run.Trainer.BatchCount > 0)
            channel.Info($"Going on after step {run.Trainer.StepCount}, in epoch {progress.Epoch}.");
        RunEpochs(run, progress, checkpoint, channel);
        var content = new ModelContent(progress.Best?.Model ?? Export(run.Trainer));
        return new(Host, new(content, _options.Scoring, Columns, labels), _options.Images(run.Model.Preprocessing))
        {
            Trace = progress.Trace,
        };
    }

    private void RunEpochs(Run run, TrainingProgress progress, TrainingCheckpoint? checkpoint, IChannel channel)
    {
        var stepCount = (long)_options.EpochCount * (run.Batches.Count / _options.AccumulationSteps);
        var schedule = new CosineSchedule(_options.LearningRate, stepCount, WarmUpSteps: (long)(stepCount * _options.WarmUp));
        var (clock, before) = (Stopwatch.StartNew(), progress.Elapsed);
        try
        {
            var stop = false;
            while (!progress.HasEnded && !stop)
            {
                var meter = new EpochMeter();
                var batches = run.Batches.Epoch(progress.Epoch, progress.Batch, _options.Cancellation);
                foreach (var _ in meter.Await(batches.Select(run.Feed)))
                {
                    _options.Cancellation.ThrowIfCancellationRequested();
                    progress.AddBatch(Step(run.Trainer, schedule), run.Trainer.Metric(CorrectMetric), _options.AccumulationSteps);
                    _options.BatchEnded?.Invoke(run.Trainer.BatchCount);
                    if (checkpoint?.Age > _options.CheckpointInterval)
                        WriteCheckpoint();
                }
                progress.Elapsed = before + clock.Elapsed;
                EndEpoch(run, progress, meter, schedule);
                channel.Info(progress.Epochs[^1].ToString());
                if (_options.TracePlot is { } plot)
                    LossCurve.Save(progress.Trace, plot);
                stop = _options.StopWhen?.Invoke(progress.Epochs[^1]) == true;
                if (progress.HasEnded || stop || progress.Epochs.Count % _options.CheckpointEpochs == 0)
                    WriteCheckpoint();
                _options.Progress?.Report(progress.Epochs[^1]);
            }
        }
        catch (OperationCanceledException) when (checkpoint is not null)
        {
            WriteCheckpoint();
            channel.Info($"Cancelled after step {run.Trainer.StepCount}; the same training goes on from there.");
            throw;
        }

        void WriteCheckpoint()
        {
            progress.Elapsed = before + clock.Elapsed;
            checkpoint?.Write(run.Trainer, progress);
        }
    }

    private float Step(Trainer trainer, CosineSchedule schedule)
    {
        var loss = trainer.Step(schedule.At(trainer.StepCount));
        // In mixed precision the trainer skips steps that overflow.
        return float.IsFinite(loss) || _options.Precision == TrainingPrecision.Mixed ? loss : throw new InvalidOperationException(
            $"The loss of step {trainer.StepCount} is {loss}: the training does not converge. Lower {nameof(Options.LearningRate)} "
            + $"or {nameof(Options.MaxGradientNorm)}, or raise {nameof(Options.WarmUp)}.");
    }

    private void EndEpoch(Run run, TrainingProgress progress, EpochMeter meter, CosineSchedule schedule)
    {
        var model = run.Validation.Count > 0 ? Export(run.Trainer) : null;
        var summary = new EpochSummary
        {
            Epoch = progress.Epoch,
            Steps = progress.StepLosses.Count,
            Loss = (float)(progress.LossSum / progress.LossCount),
            LearningRate = schedule.At(run.Trainer.StepCount - 1),
            TrainingAccuracy = progress.Correct / ((double)progress.Batch * run.BatchSize),
            Validation = model is null ? null : Validate(run, model),
            Elapsed = progress.Elapsed,
            PicturesPerSecond = meter.BatchesPerSecond * run.BatchSize,
            WaitShare = meter.WaitShare,
            LossScale = run.Trainer.LossScale,
            SkippedSteps = run.Trainer.SkippedStepCount,
        };
        if (_options.KeepsBest && BestEpoch.ScoreOf(summary.Validation!, _options.ValidationMetric) is var score
            && progress.Best?.IsBeatenBy(score) != false)
        {
            progress.Best = new(summary.Epoch, score) { Model = model! };
        }
        progress.EndEpoch(summary);
        progress.HasEnded = summary.Epoch == _options.EpochCount || summary.Epoch - progress.Best?.Epoch >= _options.Patience;
    }

    private ValidationMetrics Validate(Run run, byte[] model)
    {
        using var session = OnnxSession.Open(Host, new ModelContent(model), _options.Scoring.Session);
        return ValidationMetrics.Measure(
            session, run.Validation, run.Model.Preprocessing, _options.Scoring.BatchSize, _options.Cancellation);
    }

    private byte[] Export(Trainer trainer) => trainer.Export(averaged: _options.WeightAveraging is not null).ToBytes();
}
