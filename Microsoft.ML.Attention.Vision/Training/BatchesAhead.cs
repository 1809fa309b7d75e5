using System.Threading.Channels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Fills batches some ahead of the model that takes them, in memory that is used again and again.</summary>
/// <param name="create">Makes the memory of a batch.</param>
internal sealed class BatchesAhead<TBatch>(Func<TBatch> create)
{
    // One is with the model, one is being filled, two wait.
    private readonly TBatch[] _turns = [create(), create(), create(), create()];

    /// <summary>Batches in order; each may be used until the next one is asked for.</summary>
    /// <param name="first">The number of the first.</param>
    /// <param name="end">The number behind the last.</param>
    /// <param name="fill">Fills the batch of a number. What it throws, the taker gets.</param>
    /// <param name="cancellation">Ends the filling early.</param>
    public IEnumerable<TBatch> Take(
        int first, int end, Func<TBatch, int, CancellationToken, Task> fill, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using var free = new SemaphoreSlim(_turns.Length - 1);
        var filled = Channel.CreateUnbounded<TBatch>();
        var filling = Task.Run(FillAll, CancellationToken.None);
        try
        {
            while (filled.Reader.WaitToReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult())
            {
                filled.Reader.TryRead(out var batch);
                yield return batch!;
                free.Release();
            }
        }
        finally
        {
            stop.Cancel();
            filling.Wait(CancellationToken.None);
        }

        async Task FillAll()
        {
            Exception? failure = null;
            try
            {
                for (var number = first; number < end; number++)
                {
                    await free.WaitAsync(stop.Token);
                    var batch = _turns[number % _turns.Length];
                    await fill(batch, number, stop.Token);
                    filled.Writer.TryWrite(batch);
                }
            }
            catch (Exception e)
            {
                failure = e;
            }
            filled.Writer.Complete(failure);
        }
    }
}
