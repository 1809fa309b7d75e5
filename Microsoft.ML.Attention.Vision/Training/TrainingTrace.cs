using System.Globalization;
using System.Text;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What happened in a training run.</summary>
/// <param name="StepLosses">The loss of each optimiser step, a mean over its pictures.</param>
/// <param name="Epochs">A summary of each epoch.</param>
public sealed record TrainingTrace(IReadOnlyList<float> StepLosses, IReadOnlyList<EpochSummary> Epochs)
{
    /// <summary>The epoch whose weights the model has, from 1; null for the last.</summary>
    public int? BestEpoch { get; init; }

    /// <summary>Writes the summaries as a table of comma-separated values with a header, an epoch a line.</summary>
    /// <param name="path">The file to write.</param>
    public void SaveCsv(string path)
    {
        var text = new StringBuilder("epoch,steps,loss,learning_rate,training_accuracy,validation_accuracy,validation_macro_accuracy,"
            + "validation_log_loss,seconds,pictures_per_second,wait_share,loss_scale,skipped_steps\n");
        foreach (var epoch in Epochs)
        {
            text.AppendLine(string.Join(',', ((IFormattable?[])[
                epoch.Epoch, epoch.Steps, epoch.Loss, epoch.LearningRate, epoch.TrainingAccuracy, epoch.Validation?.Accuracy,
                epoch.Validation?.MacroAccuracy, epoch.Validation?.LogLoss, epoch.Elapsed.TotalSeconds, epoch.PicturesPerSecond,
                epoch.WaitShare, epoch.LossScale, epoch.SkippedSteps,
            ]).Select(value => value?.ToString(null, CultureInfo.InvariantCulture))));
        }
        File.WriteAllText(path, text.ToString());
    }
}

/// <summary>What an epoch of training came to.</summary>
public sealed record EpochSummary
{
    /// <summary>Its number, from 1.</summary>
    public required int Epoch { get; init; }

    /// <summary>Optimiser steps since the beginning of the training.</summary>
    public required int Steps { get; init; }

    /// <summary>Mean loss of its steps.</summary>
    public required float Loss { get; init; }

    /// <summary>The learning rate of its last step.</summary>
    public float LearningRate { get; init; }

    /// <summary>
    /// Share of right answers to the augmented pictures it trained on, in [0, 1]; of a mixed picture the larger part is the right answer.
    /// </summary>
    public required double TrainingAccuracy { get; init; }

    /// <summary>How it does on pictures that it did not train on; null where there are none.</summary>
    public ValidationMetrics? Validation { get; init; }

    /// <summary>Share of right answers to pictures it did not train on, in [0, 1]; null where there are none.</summary>
    public double? ValidationAccuracy => Validation?.Accuracy;

    /// <summary>Time since the beginning of the training.</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>Pictures that were trained on a second, validation not counted.</summary>
    public double PicturesPerSecond { get; init; }

    /// <summary>The share of the time of its steps in which the model waited for pictures, in [0, 1].</summary>
    public double WaitShare { get; init; }

    /// <summary>What the loss is scaled by in mixed precision; 1 in float32.</summary>
    public float LossScale { get; init; } = 1;

    /// <summary>Steps since the beginning whose gradients overflowed, and which changed nothing.</summary>
    public long SkippedSteps { get; init; }

    /// <summary>The summary as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"epoch {Epoch}: loss {Loss:0.000}, training accuracy {TrainingAccuracy:0.0%}{ValidationText}, {Elapsed.TotalSeconds:0.0} s "
        + $"({PicturesPerSecond:0} pictures/s, {WaitShare:0.0%} waiting){SkippedText}");

    private string SkippedText => SkippedSteps == 0 ? "" : string.Create(CultureInfo.InvariantCulture,
        $", {SkippedSteps} steps skipped, loss scale {LossScale:0}");

    private string ValidationText => Validation is null ? "" : string.Create(CultureInfo.InvariantCulture,
        $", validation accuracy {Validation.Accuracy:0.0%} (macro {Validation.MacroAccuracy:0.0%}, log-loss {Validation.LogLoss:0.000})");
}
