using Sweep;

namespace Samples.Tests.Sweep;

public class SuccessiveHalvingTests
{
    private static readonly IReadOnlyList<Candidate> Nine = new SearchSpace().Draw(9, seed: 1);

    [Fact]
    public void BetterCandidatesGetLongerTrainings()
    {
        var calls = new List<(int Number, int Epochs)>();
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 2, mostEpochs: 100).Run(Nine, (candidate, epochs) =>
        {
            calls.Add((candidate.Number, epochs));
            return Trial(candidate, epochs, 0.1 * candidate.Number);
        });

        Assert.Equal(
            [.. Enumerable.Range(1, 9).Select(number => (number, 2)), (9, 6), (8, 6), (7, 6), (9, 18)],
            calls);
        Assert.Equal((9, 18), (trials[0].Candidate.Number, trials[0].Epochs));
        Assert.Equal(13, trials.Count);
    }

    [Fact]
    public void ALateBloomerIsJudgedByItsLongerTraining()
    {
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 1, mostEpochs: 100).Run(
            Nine,
            (candidate, epochs) =>
                Trial(candidate, epochs, epochs == 1 ? 0.1 * candidate.Number : candidate.Number == 7 ? 0.99 : 0.5));

        Assert.Equal(7, trials[0].Candidate.Number);
    }

    [Fact]
    public void EpochsStopAtTheMost()
    {
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 2, mostEpochs: 5).Run(
            Nine, (candidate, epochs) => Trial(candidate, epochs, 0.1 * candidate.Number));

        Assert.Equal([5, 5, 5], trials.Take(3).Select(trial => trial.Epochs));
        Assert.Equal(12, trials.Count);
    }

    [Fact]
    public void TheFirstRoundDoesNotExceedTheMostEither()
    {
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 7, mostEpochs: 5).Run(
            Nine, (candidate, epochs) => Trial(candidate, epochs, 0.1 * candidate.Number));

        Assert.All(trials, trial => Assert.Equal(5, trial.Epochs));
        Assert.Equal(9, trials.Count);
    }

    [Fact]
    public void AFailedCandidateDoesNotGoOn()
    {
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 1, mostEpochs: 100).Run(
            Nine, (candidate, epochs) => candidate.Number is 9 or 5 || (candidate.Number == 8 && epochs == 3)
                ? new Trial(candidate, epochs, [], TimeSpan.Zero) { Failure = "the loss ran away" }
                : Trial(candidate, epochs, 0.1 * candidate.Number));

        Assert.Equal([(7, 9), (7, 3), (6, 3)], trials.Take(3).Select(trial => (trial.Candidate.Number, trial.Epochs)));
        Assert.Equal(3, trials.Count(trial => trial.Failure is not null && double.IsNaN(trial.Mean)));
        Assert.Equal([8, 5, 9], trials.TakeLast(3).Select(trial => trial.Candidate.Number));
    }

    [Fact]
    public void WhenAllFailTheReasonIsSaid() =>
        Assert.Contains("no device", Assert.Throws<InvalidOperationException>(() => new SuccessiveHalving(3, 1, 100).Run(
            Nine, (candidate, epochs) => new Trial(candidate, epochs, [], TimeSpan.Zero) { Failure = "no device" })).Message);

    [Fact]
    public void WhenTheTimeIsUpTheBestSoFarWins()
    {
        var left = 10;
        var trials = new SuccessiveHalving(reduction: 3, firstEpochs: 1, mostEpochs: 100).Run(
            Nine, (candidate, epochs) => left-- > 0 ? Trial(candidate, epochs, 0.1 * candidate.Number) : null);

        Assert.Equal(10, trials.Count);
        Assert.Equal((9, 3), (trials[0].Candidate.Number, trials[0].Epochs));
    }

    [Fact]
    public void NoTrialInTimeIsAnErrorThatSaysWhatToDo() =>
        Assert.Contains("--minutes", Assert.Throws<TimeoutException>(
            () => new SuccessiveHalving(3, 1, 100).Run(Nine, (_, _) => null)).Message);

    [Fact]
    public void CandidatesStayInTheSearchSpaceAndDependOnTheSeedOnly()
    {
        var space = new SearchSpace();
        var candidates = space.Draw(40, seed: 5);

        Assert.Equal(candidates, space.Draw(40, seed: 5));
        Assert.NotEqual(candidates, space.Draw(40, seed: 6));
        Assert.All(candidates, candidate => Assert.InRange(candidate.LearningRate, space.LearningRate.Least, space.LearningRate.Most));
        Assert.All(candidates, candidate => Assert.InRange(candidate.Erasing, space.Erasing.Least, space.Erasing.Most));
        Assert.Equal(space.Architectures, candidates.Take(space.Architectures.Count).Select(candidate => candidate.Architecture));
        var median = candidates.Select(candidate => candidate.LearningRate).Order().ElementAt(20);
        Assert.InRange(median, 1e-3, 4e-3);
    }

    [Fact]
    public void TheErrorIsThatOfTheMean() =>
        Assert.Equal(0.02 / Math.Sqrt(3), new Trial(Nine[0], 1, [0.78, 0.8, 0.82], TimeSpan.Zero).Error, 12);

    private static Trial Trial(Candidate candidate, int epochs, double accuracy) =>
        new(candidate, epochs, [accuracy - 0.01, accuracy + 0.01], TimeSpan.FromSeconds(epochs));
}
