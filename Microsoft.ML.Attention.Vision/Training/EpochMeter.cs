using System.Diagnostics;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Takes the time of an epoch's steps, and what of it the model waits for pictures.</summary>
internal sealed class EpochMeter
{
    private readonly Stopwatch _total = Stopwatch.StartNew();
    private readonly Stopwatch _waiting = new();
    private int _batches;

    public double BatchesPerSecond => _batches / Math.Max(_total.Elapsed.TotalSeconds, 1e-6);

    public double WaitShare => _waiting.Elapsed / _total.Elapsed;

    /// <summary>Passes the batches of an epoch on, timing how long each takes to come.</summary>
    public IEnumerable<TBatch> Await<TBatch>(IEnumerable<TBatch> batches)
    {
        using var enumerator = batches.GetEnumerator();
        while (MoveNext())
        {
            _batches++;
            yield return enumerator.Current;
        }
        _total.Stop();

        bool MoveNext()
        {
            _waiting.Start();
            var more = enumerator.MoveNext();
            _waiting.Stop();
            return more;
        }
    }
}
