using System.Globalization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What happened in a training run.</summary>
/// <param name="StepLosses">The loss of each optimiser step, a mean over its batch.</param>
/// <param name="Epochs">A summary of each epoch.</param>
public sealed record TrainingTrace(IReadOnlyList<float> StepLosses, IReadOnlyList<EpochSummary> Epochs);

/// <summary>What an epoch of training came to.</summary>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Steps">Optimiser steps since the beginning of the training.</param>
/// <param name="Loss">Mean loss of its steps.</param>
/// <param name="TrainingAccuracy">Share of right answers to the augmented pictures it trained on, in [0, 1].</param>
/// <param name="ValidationAccuracy">Share of right answers to pictures it did not train on, in [0, 1]; null where there are none.</param>
/// <param name="Elapsed">Time since the beginning of the training.</param>
public sealed record EpochSummary(
    int Epoch, int Steps, float Loss, double TrainingAccuracy, double? ValidationAccuracy, TimeSpan Elapsed)
{
    /// <summary>The summary as a line for people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"epoch {Epoch}: loss {Loss:0.000}, training accuracy {TrainingAccuracy:0.0%}{ValidationText}, {Elapsed.TotalSeconds:0.0} s");

    private string ValidationText =>
        ValidationAccuracy is { } accuracy ? string.Create(CultureInfo.InvariantCulture, $", validation accuracy {accuracy:0.0%}") : "";
}
