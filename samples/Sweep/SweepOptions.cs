using Microsoft.ML.Attention;

namespace Sweep;

/// <summary>What the command line asks for.</summary>
internal sealed record SweepOptions
{
    /// <summary>A folder with a folder of pictures for each class; null for the pictures that come with the sample.</summary>
    public string? Data { get; init; }

    public required string Output { get; init; }

    /// <summary>The time for the sweep; the training of the best on all pictures comes on top.</summary>
    public required TimeSpan Time { get; init; }

    public required SearchSpace Space { get; init; }

    public required int CandidateCount { get; init; }

    public required int Folds { get; init; }

    /// <summary>The epochs of the first round.</summary>
    public required int FirstEpochs { get; init; }

    /// <summary>The epochs that no round exceeds, and those of the best model.</summary>
    public required int Epochs { get; init; }

    /// <summary>One of so many candidates goes on.</summary>
    public required int Reduction { get; init; }

    /// <summary>Height and width, in pixels, that pictures are stretched to.</summary>
    public required int Size { get; init; }

    public required int Seed { get; init; }

    public required ExecutionProvider Provider { get; init; }
}
