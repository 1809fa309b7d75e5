namespace Microsoft.ML.Attention.Vision;

/// <summary>What happened in a training run.</summary>
/// <param name="StepLosses">The loss of each optimiser step, a mean over its batch.</param>
/// <param name="Epochs">A summary of each epoch.</param>
public sealed record TrainingTrace(IReadOnlyList<float> StepLosses, IReadOnlyList<EpochSummary> Epochs);

/// <summary>What an epoch of training came to.</summary>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Steps">Optimiser steps since the beginning of the training.</param>
/// <param name="Loss">Mean loss of its steps.</param>
/// <param name="ValidationAccuracy">Share of right answers on the validation part, in [0, 1]; null where there is none.</param>
/// <param name="Elapsed">Time since the beginning of the training.</param>
public sealed record EpochSummary(int Epoch, int Steps, float Loss, double? ValidationAccuracy, TimeSpan Elapsed);
