namespace Sweep;

/// <summary>
/// Gives all candidates a short training, the better ones a longer one, and so on, until one is left or the time is up.
/// <para>Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016.</para>
/// </summary>
/// <param name="reduction">One of so many candidates goes on, with as many times the epochs.</param>
/// <param name="firstEpochs">The epochs of the first round.</param>
/// <param name="mostEpochs">The epochs that no round exceeds.</param>
internal sealed class SuccessiveHalving(int reduction, int firstEpochs, int mostEpochs)
{
    /// <summary>All trials that ended, the best of the longest round first, those that failed last.</summary>
    /// <param name="candidates">The candidates.</param>
    /// <param name="evaluate">Trains a candidate for a number of epochs; null if the time was up before it ended.</param>
    /// <exception cref="TimeoutException">Not one trial ended in time.</exception>
    /// <exception cref="InvalidOperationException">All trials failed.</exception>
    public IReadOnlyList<Trial> Run(IReadOnlyList<Candidate> candidates, Func<Candidate, int, Trial?> evaluate)
    {
        var trials = new List<Trial>();
        for (var epochs = Math.Min(firstEpochs, mostEpochs); ; epochs = Math.Min(epochs * reduction, mostEpochs))
        {
            var round = new List<Trial>();
            foreach (var candidate in candidates)
            {
                if (evaluate(candidate, epochs) is not { } trial)
                    break;
                round.Add(trial);
            }
            trials.AddRange(round);
            if (round.Count < candidates.Count || candidates.Count == 1 || epochs == mostEpochs)
                break;
            candidates = [.. Rank(round).Where(trial => trial.Failure is null)
                .Take((candidates.Count + reduction - 1) / reduction).Select(trial => trial.Candidate)];
        }
        if (trials.Count == 0)
        {
            throw new TimeoutException(
                "The time was up before the first candidate was trained: give more --minutes or fewer --first-epochs.");
        }
        if (trials.TrueForAll(trial => trial.Failure is not null))
            throw new InvalidOperationException($"No candidate could be trained. The first failed so: {trials[0].Failure}");
        return [.. Rank(trials)];
    }

    // The better a candidate did the earlier it has its turn in the next round, so one that ended a longer training has beaten all that
    // did not get there, even where the time was up in the middle of a round.
    private static IEnumerable<Trial> Rank(IEnumerable<Trial> trials) =>
        trials.OrderBy(trial => trial.Failure is not null).ThenByDescending(trial => trial.Epochs).ThenByDescending(trial => trial.Mean);
}
