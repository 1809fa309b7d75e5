using System.Globalization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What happened while an enhancing model was trained.</summary>
/// <param name="Epochs">A summary of each epoch.</param>
public sealed record EnhancementTrace(IReadOnlyList<EnhancementEpoch> Epochs);

/// <summary>What an epoch of training an enhancing model came to.</summary>
/// <param name="Nets">What is trained: <c>troublemaker</c> or <c>predict+enhance</c>.</param>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Steps">Optimiser steps of these nets so far.</param>
/// <param name="Loss">Mean loss of its steps.</param>
/// <param name="Elapsed">Time since the beginning of the training.</param>
public sealed record EnhancementEpoch(string Nets, int Epoch, int Steps, float Loss, TimeSpan Elapsed)
{
    /// <summary>The summary as a line for people.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{Nets}, epoch {Epoch}: loss {Loss:0.0000}, {Elapsed.TotalSeconds:0.0} s");
}
