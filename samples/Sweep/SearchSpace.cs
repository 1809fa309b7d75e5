namespace Sweep;

/// <summary>What is tried: architectures, and the ranges of hyper-parameters. Edit it for your pictures.</summary>
internal sealed record SearchSpace
{
    public IReadOnlyList<string> Architectures { get; init; } = ["biformer_nano", "tnt_nano", "raftmlp_nano", "resnet_ela_nano"];

    public Interval LearningRate { get; init; } = new(5e-4, 8e-3, IsLogarithmic: true);

    public Interval WeightDecay { get; init; } = new(5e-3, 0.2, IsLogarithmic: true);

    public Interval LabelSmoothing { get; init; } = new(0, 0.15);

    /// <summary>The probability that a rectangle of a training picture is erased.</summary>
    public Interval Erasing { get; init; } = new(0, 0.4);

    public IReadOnlyList<int> BatchSizes { get; init; } = [32, 64];

    /// <summary>Draws candidates. Architectures take turns, so that each has its share even of a few.</summary>
    public IReadOnlyList<Candidate> Draw(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(number => new Candidate(
            number + 1,
            Architectures[number % Architectures.Count],
            (float)LearningRate.Draw(random),
            (float)WeightDecay.Draw(random),
            (float)LabelSmoothing.Draw(random),
            Erasing.Draw(random),
            BatchSizes[random.Next(BatchSizes.Count)]))];
    }
}

/// <summary>The limits between which a number is drawn, evenly or evenly in its logarithm.</summary>
internal sealed record Interval(double Least, double Most, bool IsLogarithmic = false)
{
    public double Draw(Random random) => IsLogarithmic
        ? Math.Exp(double.Lerp(Math.Log(Least), Math.Log(Most), random.NextDouble()))
        : double.Lerp(Least, Most, random.NextDouble());
}

/// <summary>One point of the search space.</summary>
internal sealed record Candidate(
    int Number, string Architecture, float LearningRate, float WeightDecay, float LabelSmoothing, double Erasing, int BatchSize);
