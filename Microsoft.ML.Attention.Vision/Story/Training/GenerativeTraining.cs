using System.Diagnostics;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains on batches that are made ahead of the net and depend on the number of the step alone, so that a training that was interrupted
/// goes on as if it had not been.
/// </summary>
/// <param name="host">Where the training runs.</param>
/// <param name="options">How it runs.</param>
/// <param name="seed">What is in the options, or else was drawn.</param>
internal sealed class GenerativeTraining<TBatch>(IHost host, GenerativeTrainerOptions options, int seed)
{
    /// <summary>Makes the memory of a batch.</summary>
    public required Func<TBatch> Create { get; init; }

    /// <summary>Fills the batch of a step, from 0.</summary>
    public required Func<TBatch, int, CancellationToken, Task> Fill { get; init; }

    /// <summary>Gives a batch to the trainer.</summary>
    public required Action<TBatch, Trainer> Load { get; init; }

    /// <summary>Trains; returns the model and the losses of the steps.</summary>
    public (OnnxModel Model, TrainingTrace Trace) Run(TrainingGraph graph)
    {
        using var channel = host.Start("Training");
        using var trainer = TrainingSession.Start(host, graph, options.Session, options.BatchSize, seed, channel);
        var checkpoint = TrainingCheckpoint.In(options.CheckpointFolder, () => options.Describe(seed));
        var progress = checkpoint?.Restore(trainer) ?? new();
        var (before, clock) = (progress.Elapsed, Stopwatch.StartNew());
        try
        {
            var batches = new BatchesAhead<TBatch>(Create).Take((int)trainer.StepCount, options.StepCount, Fill, options.Cancellation);
            foreach (var batch in batches)
            {
                options.Cancellation.ThrowIfCancellationRequested();
                var done = options.Done(trainer.StepCount, before + clock.Elapsed);
                if (done >= 1)
                    break;
                Load(batch, trainer);
                Step(trainer, done, progress, before + clock.Elapsed);
                if (checkpoint?.Age > options.CheckpointInterval)
                    WriteCheckpoint();
            }
        }
        catch (OperationCanceledException) when (checkpoint is not null)
        {
            WriteCheckpoint();
            throw;
        }
        WriteCheckpoint();
        channel.Info($"Trained for {trainer.StepCount} steps, of which {trainer.SkippedStepCount} were skipped, in {before + clock.Elapsed}.");
        return (trainer.Export(averaged: options.WeightAveraging is not null), progress.Trace);

        void WriteCheckpoint()
        {
            progress.Elapsed = before + clock.Elapsed;
            checkpoint?.Write(trainer, progress);
        }
    }

    private void Step(Trainer trainer, double done, TrainingProgress progress, TimeSpan elapsed)
    {
        var rate = options.RateAt(trainer.StepCount, done);
        var skipped = trainer.SkippedStepCount;
        var loss = trainer.Step(rate);
        if (!float.IsFinite(loss) && trainer.SkippedStepCount == skipped)
        {
            throw new InvalidOperationException($"The loss of step {trainer.StepCount} is {loss}: the training does not converge. Lower "
                + $"{nameof(options.LearningRate)} or {nameof(options.MaxGradientNorm)}, or raise {nameof(options.WarmUpSteps)}.");
        }
        progress.AddBatch(loss, correct: 0, batchesPerStep: 1);
        options.Progress?.Report(new(trainer.StepCount, loss, rate, done, elapsed));
    }
}
