using System.Globalization;

namespace Microsoft.ML.Attention;

/// <summary>What happened while a model of time series was trained.</summary>
/// <param name="Epochs">A summary of each epoch of each member.</param>
public sealed record TemporalTrace(IReadOnlyList<TemporalEpoch> Epochs);

/// <summary>What an epoch of training a model of time series came to.</summary>
/// <param name="Member">The member of the ensemble, from 1.</param>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Loss">Mean loss of its steps.</param>
/// <param name="ValidationLoss">Mean loss on the series that this member does not learn from; null where there are none.</param>
/// <param name="Elapsed">Time since the beginning of the training.</param>
public sealed record TemporalEpoch(int Member, int Epoch, float Loss, float? ValidationLoss, TimeSpan Elapsed)
{
    /// <summary>The summary as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"member {Member}, epoch {Epoch}: loss {Loss:0.0000}{(ValidationLoss is { } loss ? $", validation loss {loss:0.0000}" : "")}, "
        + $"{Elapsed.TotalSeconds:0.0} s");
}
