using BatchScoring.Output;
using BatchScoring.Scoring;

namespace Samples.Tests.BatchScoring;

/// <summary>Gives each path its length as score; paths that begin with "bad" have none.</summary>
internal sealed class FakeScorer : IBatchScorer
{
    private readonly ScalarColumn<float?> _length = new("length");

    public IReadOnlyList<OutputColumn> Columns => [_length];

    /// <summary>Runs before each row.</summary>
    public Action<string> BeforeRow { get; init; } = _ => { };

    public List<string> Scored { get; } = [];

    public IEnumerable<RowOutcome> Score(ArraySegment<string> paths)
    {
        foreach (var path in paths)
        {
            BeforeRow(path);
            Scored.Add(path);
            if (path.StartsWith("bad", StringComparison.Ordinal))
                _length.AddMissing();
            else
                _length.Add(path.Length);
            yield return path.StartsWith("bad", StringComparison.Ordinal) ? new(RowStatus.Corrupt, $"{path} is bad") : RowOutcome.Ok;
        }
    }

    public void Dispose()
    {
    }
}
