using System.Globalization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What happened while a detector was trained.</summary>
/// <param name="StepLosses">The loss of each optimiser step.</param>
/// <param name="Epochs">A summary of each epoch.</param>
public sealed record DetectionTrace(IReadOnlyList<float> StepLosses, IReadOnlyList<DetectionEpoch> Epochs)
{
    /// <summary>The epoch whose model was kept, where that is the best one on the validation pictures.</summary>
    public int? BestEpoch { get; init; }
}

/// <summary>What an epoch of a detector's training came to.</summary>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Steps">Optimiser steps since the beginning of the training.</param>
/// <param name="Loss">Mean loss of its steps.</param>
/// <param name="ClassLoss">The part of it that is for the classes of the last layer's boxes.</param>
/// <param name="OverlapLoss">The part of it that is for the overlap of the last layer's boxes: 1 less the generalised one.</param>
/// <param name="Elapsed">Time since the beginning of the training.</param>
public sealed record DetectionEpoch(int Epoch, int Steps, float Loss, float ClassLoss, float OverlapLoss, TimeSpan Elapsed)
{
    /// <summary>How well the detector does on the validation pictures then; null where it was not measured.</summary>
    public DetectionMetrics? Validation { get; init; }

    /// <summary>The summary as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"epoch {Epoch}: loss {Loss:0.000}, class loss {ClassLoss:0.000}, overlap loss {OverlapLoss:0.000}, {Elapsed.TotalSeconds:0.0} s")
        + (Validation is { } metrics ? $", validation {metrics}" : "");
}
