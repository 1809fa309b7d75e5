namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>How the threads of row_strips.cuh lie over the rows of [rows, width]; the same struct is there.</summary>
internal readonly struct RowStrips
{
    public const int Threads = 256;

    public readonly long Rows;
    public readonly int Width;

    /// <summary>The number of strips into which the rows are cut.</summary>
    public readonly int Count;

    public RowStrips(long rows, long width)
    {
        (Rows, Width) = (rows, (int)width);
        var together = Math.Max(1, Threads / Math.Max(Steps, 1));
        Count = PartialSums.Parts(ColumnBlocks, (rows + together - 1) / together);
    }

    /// <summary>STEP of the program: the columns that a thread takes.</summary>
    public int Step => Width % 4 == 0 ? 4 : 1;

    public GridSize Grid => new(ColumnBlocks, Count);

    private int Steps => Width / Step;

    private int ColumnBlocks => (Steps + Threads - 1) / Threads;
}
