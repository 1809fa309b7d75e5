namespace Microsoft.ML.Attention;

/// <summary>The row that output getters read: one slot of a batch that has been scored.</summary>
internal abstract class ScoredRow
{
    /// <summary>Why the row's input could not be read: its outputs are missing values then. Null for a good row.</summary>
    public Exception? Failure
    {
        get
        {
            var batch = Locate(out int slot);
            return batch.Failure(slot);
        }
    }

    /// <summary>The index by which <see cref="Tensor{T}"/> knows an output of the model.</summary>
    public abstract int OutputIndex(string name);

    /// <summary>The row's elements of an output; the span lives until the cursor moves.</summary>
    public ReadOnlySpan<T> Tensor<T>(int output)
        where T : unmanaged
    {
        var batch = Locate(out int slot);
        return batch.Output<T>(output, slot);
    }

    /// <summary>The batch that holds the current row, scored.</summary>
    protected abstract ScoringBatch Locate(out int slot);
}
