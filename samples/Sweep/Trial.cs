namespace Sweep;

/// <summary>What a candidate reached with a number of epochs.</summary>
/// <param name="Candidate">The candidate.</param>
/// <param name="Epochs">The epochs that each training had.</param>
/// <param name="Accuracies">The accuracy on each fold, in [0, 1]; none if a training failed.</param>
/// <param name="Elapsed">The time that it took.</param>
internal sealed record Trial(Candidate Candidate, int Epochs, IReadOnlyList<double> Accuracies, TimeSpan Elapsed)
{
    /// <summary>Why a training failed; null if none did.</summary>
    public string? Failure { get; init; }

    /// <summary>The mean accuracy; NaN if a training failed.</summary>
    public double Mean => Accuracies.DefaultIfEmpty(double.NaN).Average();

    /// <summary>The standard error of the mean; 0 for a single fold.</summary>
    public double Error => Accuracies.Count < 2 ? 0
        : Math.Sqrt(Accuracies.Sum(accuracy => Math.Pow(accuracy - Mean, 2)) / (Accuracies.Count - 1) / Accuracies.Count);
}
