using BatchScoring.Output;
using BatchScoring.Progress;
using BatchScoring.Scoring;

namespace BatchScoring;

/// <summary>Scores the paths of one shard, part by part. Parts that are finished already are left alone.</summary>
internal sealed class ScoringJob(
    IBatchScorer scorer, ArraySegment<string> paths, OutputFolder output, int rowsPerPart, IProgressDisplay display)
{
    /// <returns>The rows of the shard, how many of them are bad, and the pace of this run.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled: the part that was being scored is abandoned.</exception>
    public RateMeter Run(CancellationToken cancellation)
    {
        var todo = new List<int>();
        var (done, bad) = (0, 0);
        for (var part = 0; part * (long)rowsPerPart < paths.Count; part++)
        {
            if (output.FinishedPart(part, PathsOf(part).Count) is { } counts)
                (done, bad) = (done + counts.Rows, bad + counts.Bad);
            else
                todo.Add(part);
        }
        var meter = new RateMeter(paths.Count, done, TimeProvider.System) { Bad = bad };
        display.Show(meter, changed =>
        {
            var rows = new PartFile(scorer.Columns);
            foreach (var part in todo)
            {
                Score(PathsOf(part), rows, meter, changed, cancellation);
                output.WritePart(part, rows);
                rows.Clear();
            }
        });
        output.WriteBadRows();
        return meter;
    }

    private void Score(ArraySegment<string> part, PartFile rows, RateMeter meter, Action changed, CancellationToken cancellation)
    {
        var row = 0;
        cancellation.ThrowIfCancellationRequested();
        foreach (var outcome in scorer.Score(part))
        {
            cancellation.ThrowIfCancellationRequested();
            rows.Add(part[row++], outcome);
            meter.Add(outcome.IsBad);
            changed();
        }
        if (row != part.Count)
            throw new InvalidOperationException($"The scorer gave {row} rows for {part.Count} paths.");
    }

    private ArraySegment<string> PathsOf(int part)
    {
        var start = part * rowsPerPart;
        return paths.Slice(start, Math.Min(rowsPerPart, paths.Count - start));
    }
}
