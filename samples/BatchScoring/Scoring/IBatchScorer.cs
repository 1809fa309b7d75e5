using BatchScoring.Output;

namespace BatchScoring.Scoring;

/// <summary>A loaded model.</summary>
internal interface IBatchScorer : IDisposable
{
    /// <summary>The columns that scores go to.</summary>
    IReadOnlyList<OutputColumn> Columns { get; }

    /// <summary>
    /// Scores files. Each step adds one value, or a missing one where the outcome is bad, to each of <see cref="Columns"/>;
    /// there is one step a path, in order. A bad file is an outcome, not an exception.
    /// </summary>
    IEnumerable<RowOutcome> Score(ArraySegment<string> paths);
}
