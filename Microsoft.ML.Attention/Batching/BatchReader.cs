namespace Microsoft.ML.Attention;

/// <summary>Fills batches from a source: reads rows in order, then converts them in parallel.</summary>
internal sealed class BatchReader : IDisposable
{
    private readonly DataViewRow _source;
    private readonly TensorRowReader[] _readers;
    private readonly int[] _converting;

    /// <param name="source">The row to read; a cursor if batches are to hold more than one row.</param>
    /// <param name="inputs">How the model's inputs are filled.</param>
    /// <param name="capacity">The most rows a batch.</param>
    public BatchReader(DataViewRow source, IReadOnlyList<TensorInput> inputs, int capacity)
    {
        _source = source;
        _readers = inputs.Select(i => i.CreateReader(source, capacity)).ToArray();
        _converting = Enumerable.Range(0, _readers.Length).Where(i => _readers[i].Converts).ToArray();
    }

    /// <summary>Adds the source's current row to the batch and returns its slot.</summary>
    public int Read(ScoringBatch batch)
    {
        int slot = batch.Add(_source.Position);
        try
        {
            for (int i = 0; i < _readers.Length; i++)
                _readers[i].Read(slot, batch.Input(i, slot));
        }
        catch (Exception e) when (IsBadInput(e))
        {
            batch.Fail(slot, e);
        }
        return slot;
    }

    /// <summary>Finishes the rows that were read.</summary>
    public void Convert(ScoringBatch batch, CancellationToken cancellation)
    {
        if (_converting.Length > 0 && batch.Count == 1)
            Convert(batch, 0);
        else if (_converting.Length > 0)
            Parallel.For(0, batch.Count, new ParallelOptions { CancellationToken = cancellation }, slot => Convert(batch, slot));
        for (int i = 0; i < _readers.Length && batch.Count > 0; i++)
        {
            if (_readers[i].RowShape(batch.Count) is { } shape)
                batch.Shrink(i, shape);
        }
    }

    public void Dispose()
    {
        foreach (var reader in _readers)
            reader.Dispose();
    }

    private static bool IsBadInput(Exception e) => e is not (OperationCanceledException or OutOfMemoryException);

    private void Convert(ScoringBatch batch, int slot)
    {
        if (batch.Failure(slot) is not null)
            return;
        try
        {
            foreach (int i in _converting)
                _readers[i].Convert(slot, batch.Input(i, slot));
        }
        catch (Exception e) when (IsBadInput(e))
        {
            batch.Fail(slot, e);
        }
    }
}
