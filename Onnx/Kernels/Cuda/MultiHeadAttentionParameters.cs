using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The struct Sizes of multi_head_attention.cuh.</summary>
internal readonly struct MultiHeadAttentionParameters
{
    public readonly int Batch;
    public readonly int Heads;
    public readonly int Queries;
    public readonly int Keys;
    public readonly int QueryRow;
    public readonly int KeyRow;
    public readonly int ValueRow;
    public readonly int OutputRow;
    public readonly long BiasBatch;
    public readonly long BiasHead;
    public readonly long BiasQuery;
    public readonly long BiasKey;
    public readonly nint BoxColumns;
    public readonly nint BoxRows;
    public readonly nint BoxExtent;
    public readonly int ColumnCount;
    public readonly int RowCount;
    public readonly float Scale;

    public static MultiHeadAttentionParameters Of<T>(in AttentionInputs<T> inputs) where T : unmanaged => new(
        inputs.Batch, inputs.Heads, inputs.Queries, inputs.Keys, inputs.Query.Stride, inputs.Key.Stride, inputs.Value.Stride,
        inputs.ValueChannels, inputs.BiasLayout, inputs.BoxBias, inputs.Scale);

    private unsafe MultiHeadAttentionParameters(
        int batch, int heads, int queries, int keys, int queryRow, int keyRow, int valueRow, int outputRow, in BiasLayout bias,
        in BoxBias box, float scale)
    {
        (Batch, Heads, Queries, Keys) = (batch, heads, queries, keys);
        (QueryRow, KeyRow, ValueRow, OutputRow) = (queryRow, keyRow, valueRow, outputRow);
        (BiasBatch, BiasHead, BiasQuery, BiasKey) = (bias.Batch, bias.Head, bias.Query, bias.Key);
        (BoxColumns, BoxRows, BoxExtent) = ((nint)box.Columns, (nint)box.Rows, (nint)box.Extent);
        (ColumnCount, RowCount) = (box.ColumnCount, box.RowCount);
        Scale = scale;
    }
}

/// <summary>
/// The launch of kernels that give each warp some positions of one head, and a block tiles of the others: multi_head_attention.cu and its
/// gradient. The text is compiled for the widths of a head, so that the loops over them are unrolled.
/// </summary>
/// <param name="QueryWidth">Channels of a head of query and key.</param>
/// <param name="ValueWidth">Channels of a head of value.</param>
/// <param name="Rows">Positions that a warp takes: 4, 8 or 16.</param>
/// <param name="Warps">Warps of a block: 1, 2 or 4.</param>
/// <param name="HasBias">Whether scores differ in their bias.</param>
/// <param name="IsBoxRelative">Whether the bias is that of a map's columns and rows.</param>
internal readonly record struct HeadTile(int QueryWidth, int ValueWidth, int Rows, int Warps, bool HasBias, bool IsBoxRelative)
{
    private static readonly ConcurrentDictionary<(string Source, bool Half, HeadTile Tile), CudaProgram> Programs = new();

    /// <param name="inputs">The inputs of the call.</param>
    /// <param name="positions">Positions of a sequence that warps take.</param>
    /// <param name="mostSums">Sums that a lane can have in registers.</param>
    public static HeadTile For<T>(in AttentionInputs<T> inputs, int positions, int mostSums) where T : unmanaged
    {
        var parts = (Math.Max(inputs.QueryWidth, inputs.ValueWidth) + 31) / 32;
        var most = Math.Min(mostSums / parts, positions);
        var rows = most > 8 ? 16 : most > 4 ? 8 : 4;
        var warps = positions > 2 * rows ? 4 : positions > rows ? 2 : 1;
        var isBoxRelative = inputs.BoxBias.IsPresent;
        return new(inputs.QueryWidth, inputs.ValueWidth, rows, warps, isBoxRelative || !inputs.BiasLayout.IsScalar, isBoxRelative);
    }

    /// <summary>Blocks for the positions of one head.</summary>
    public int Blocks(int positions) => (positions + (Rows * Warps) - 1) / (Rows * Warps);

    /// <param name="source">File name of the text.</param>
    /// <param name="half">Whether elements are float16.</param>
    /// <param name="function">The kernel.</param>
    /// <param name="stream">ONNX Runtime's stream.</param>
    /// <param name="grid">Number of blocks.</param>
    /// <param name="rowFloats">Floats of the rows that a warp keeps, for each of its positions.</param>
    /// <param name="weights">Arrays of weights that a warp keeps.</param>
    /// <param name="parameters">The kernel's parameter.</param>
    public void Launch<TParameters>(
        string source, bool half, string function, nint stream, GridSize grid, int rowFloats, int weights, in TParameters parameters)
        where TParameters : unmanaged
    {
        var tiles = AttentionTile.TileFloats(QueryWidth) + AttentionTile.TileFloats(ValueWidth);
        var bytes = (tiles + (Warps * ((Rows * rowFloats) + (weights * 32 * (Rows + 4))))) * sizeof(float);
        if (bytes > CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock)
        {
            throw new KernelException(
                $"heads of {QueryWidth} query and {ValueWidth} value channels are too wide for this device's shared memory");
        }
        Program(source, half).Function(function).Launch(stream, grid, Warps * 32, bytes, parameters);
    }

    public CudaProgram Program(string source, bool half) => Programs.GetOrAdd((source, half, this), static key => new CudaProgram(
        key.Source,
        [
            $"QUERY_WIDTH={key.Tile.QueryWidth}", $"VALUE_WIDTH={key.Tile.ValueWidth}", $"ROWS={key.Tile.Rows}", $"WARPS={key.Tile.Warps}",
            .. key.Tile.HasBias ? ["BIAS"] : Array.Empty<string>(), .. key.Tile.IsBoxRelative ? ["BOX_BIAS"] : Array.Empty<string>(),
            .. key.Half ? ["T_HALF"] : Array.Empty<string>(),
        ]));
}
