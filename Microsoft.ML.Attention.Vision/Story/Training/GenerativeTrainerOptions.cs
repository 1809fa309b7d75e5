using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What the trainers of a text-to-image model have in common.</summary>
public abstract class GenerativeTrainerOptions
{
    /// <summary>
    /// The column of training pictures: paths of files, contents of files or <see cref="Data.MLImage"/>s, all of one size whose sides the
    /// autoencoder divides (<see cref="ImageEstimatorsCatalog"/> resizes).
    /// </summary>
    public string ImageColumnName { get; set; } = "Image";

    /// <summary>What paths in the image column are relative to; null for the current folder.</summary>
    public string? ImageFolder { get; set; }

    /// <summary>The number of optimiser steps, at most.</summary>
    public int StepCount { get; set; } = 4000;

    /// <summary>
    /// The time for the steps; the learning rate falls to zero by whichever of time and <see cref="StepCount"/> ends first. Null for no
    /// limit. A training with a limit is not repeatable.
    /// </summary>
    public TimeSpan? TimeLimit { get; set; }

    /// <summary>Pictures a step, drawn at random with replacement.</summary>
    public int BatchSize { get; set; } = 32;

    /// <summary>The highest learning rate of AdamW, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
    public float LearningRate { get; set; } = 5e-4f;

    /// <summary>The steps in which the learning rate rises from 0.</summary>
    public int WarmUpSteps { get; set; } = 200;

    /// <summary>How much of each weight is taken away a step, times the learning rate.</summary>
    public float WeightDecay { get; set; } = 0.01f;

    /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
    public float? MaxGradientNorm { get; set; } = 1;

    /// <summary>
    /// How much an exponential moving average of the weights keeps a step, such as 0.999; the average becomes the model. Null for the last
    /// step's weights.
    /// </summary>
    public float? WeightAveraging { get; set; }

    /// <summary>What the nets are computed in while they are trained; <see cref="TrainingPrecision.Mixed"/> is for CUDA.</summary>
    public TrainingPrecision Precision { get; set; }

    /// <summary>Where the nets are trained.</summary>
    public OnnxSessionOptions Session { get; set; } = new();

    /// <summary>
    /// Decides the first weights and all that is drawn; by default a number from the context, or the one of the checkpoint that is resumed.
    /// </summary>
    public int? Seed { get; set; }

    /// <summary>A folder for checkpoints. If it has one of the same training, that goes on from there. Null for none.</summary>
    public string? CheckpointFolder { get; set; }

    /// <summary>The time between checkpoints; one more is written at the end and when the training is cancelled.</summary>
    public TimeSpan CheckpointInterval { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Told of each step.</summary>
    public IProgress<GenerativeStep>? Progress { get; set; }

    /// <summary>Ends the training early, with a checkpoint.</summary>
    public CancellationToken Cancellation { get; set; }

    /// <summary>The settings that must be the same in a training that goes on.</summary>
    internal virtual Dictionary<string, string> Describe(int seed) => new()
    {
        [nameof(StepCount)] = $"{StepCount}",
        [nameof(TimeLimit)] = $"{TimeLimit}",
        [nameof(BatchSize)] = $"{BatchSize}",
        [nameof(LearningRate)] = FormattableString.Invariant($"{LearningRate}"),
        [nameof(WarmUpSteps)] = $"{WarmUpSteps}",
        [nameof(WeightDecay)] = FormattableString.Invariant($"{WeightDecay}"),
        [nameof(MaxGradientNorm)] = FormattableString.Invariant($"{MaxGradientNorm}"),
        [nameof(WeightAveraging)] = FormattableString.Invariant($"{WeightAveraging}"),
        [nameof(Precision)] = $"{Precision}",
        [nameof(Seed)] = $"{seed}",
    };

    internal TrainingOptions Training => new()
    {
        Optimizer = new AdamW { WeightDecay = WeightDecay, ClipNorm = MaxGradientNorm, AverageDecay = WeightAveraging },
        Precision = Precision,
    };

    /// <summary>The share of a training that is behind it, in [0, 1].</summary>
    internal double Done(long step, TimeSpan elapsed) =>
        Math.Clamp(Math.Max((double)step / StepCount, TimeLimit is { } limit ? elapsed / limit : 0), 0, 1);

    /// <summary>The learning rate of a step, from 0.</summary>
    internal float RateAt(long step, double done) =>
        (float)(LearningRate * Math.Min(1, (step + 1.0) / Math.Max(1, WarmUpSteps)) * 0.5 * (1 + Math.Cos(Math.PI * done)));

    internal virtual void Validate()
    {
        Positive(StepCount, nameof(StepCount));
        Positive(BatchSize, nameof(BatchSize));
        Positive(LearningRate, nameof(LearningRate));
        NotBelowZero(WarmUpSteps, nameof(WarmUpSteps));
        NotBelowZero(WeightDecay, nameof(WeightDecay));
        if (WeightAveraging is <= 0 or >= 1)
            throw new ArgumentException($"{nameof(WeightAveraging)} is {WeightAveraging}; it must be between 0 and 1, or null for none.");
        if (TimeLimit <= TimeSpan.Zero)
            throw new ArgumentException($"{nameof(TimeLimit)} is {TimeLimit}; give some time, or null for no limit.");
    }

    private protected static void Positive(double value, string name)
    {
        if (!(value > 0))
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value}; it must be above 0."));
    }

    private protected static void NotBelowZero(double value, string name)
    {
        if (!(value >= 0))
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value}; it must not be below 0."));
    }
}

/// <summary>A step of training.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Loss">The loss of its batch; not finite where mixed precision skipped the step.</param>
/// <param name="LearningRate">Its learning rate.</param>
/// <param name="Done">The share of the training that is behind it, in [0, 1].</param>
/// <param name="Elapsed">The time of the training so far.</param>
public sealed record GenerativeStep(long Step, float Loss, float LearningRate, double Done, TimeSpan Elapsed);
