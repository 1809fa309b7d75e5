using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>How one input of the model is filled from the columns of a source.</summary>
/// <param name="name">The model's name for the input.</param>
/// <param name="elementType">The type of an element.</param>
/// <param name="rowShape">The shape of one row, without the row axis.</param>
/// <param name="columns">Indices of the source columns that are read.</param>
internal abstract class TensorInput(string name, TensorElementType elementType, long[] rowShape, params int[] columns)
{
    public string Name => name;

    public TensorElementType ElementType => elementType;

    public long[] RowShape => rowShape;

    public IReadOnlyList<int> Columns => columns;

    /// <summary>Starts reading a source.</summary>
    /// <param name="source">The row whose getters are to be used; it moves on between calls of the reader.</param>
    /// <param name="capacity">The most rows between two batches: slots run from 0 to below it.</param>
    public abstract TensorRowReader CreateReader(DataViewRow source, int capacity);
}

/// <summary>
/// Turns source rows into rows of a tensor, in two steps: <see cref="Read"/> takes what it needs from the source's current row, in row
/// order; <see cref="Convert"/> does the expensive part, for several slots at once. An exception from either marks the row as bad input.
/// An object that belongs to the source, as an image does, is not to be kept for <see cref="Convert"/>: the source may dispose of it.
/// </summary>
internal abstract class TensorRowReader : IDisposable
{
    /// <summary>Whether <see cref="Convert"/> does anything.</summary>
    public virtual bool Converts => false;

    /// <summary>Takes the current row's value; writes it to <paramref name="destination"/> if that needs no conversion.</summary>
    public abstract void Read(int slot, Span<byte> destination);

    /// <summary>Writes what <see cref="Read"/> took for this slot. Called by several threads, for different slots.</summary>
    public virtual void Convert(int slot, Span<byte> destination)
    {
    }

    /// <summary>
    /// The shape of a row that holds the first rows of the batch, once they are converted; null for all of the input's. It has as many
    /// axes and is nowhere larger; what lies beyond it is cut off.
    /// </summary>
    public virtual long[]? RowShape(int rows) => null;

    public virtual void Dispose()
    {
    }
}
