using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The launch of kernels built on attention_tile.cuh: each warp has ROWS positions of one region and head. The text is compiled for the
/// widths of a head, so that the loops over them are unrolled.
/// </summary>
/// <param name="QueryWidth">Channels of a head of query and key.</param>
/// <param name="ValueWidth">Channels of a head of value.</param>
/// <param name="Rows">Positions that a warp takes: 4, 8 or 16.</param>
internal readonly record struct AttentionTile(int QueryWidth, int ValueWidth, int Rows)
{
    private const int WarpsPerBlock = 8;

    private static readonly ConcurrentDictionary<(string Source, bool Half, AttentionTile Tile), CudaProgram> Programs = new();

    /// <param name="sizes">Sizes of the call.</param>
    /// <param name="mostSums">Sums that a lane can have in registers.</param>
    public static AttentionTile For(in BiLevelRoutingSizes sizes, int mostSums)
    {
        var parts = (Math.Max(sizes.QueryWidth, sizes.ValueWidth) + 31) / 32;
        var most = Math.Min(mostSums / parts, sizes.Layout.Tokens);
        return new(sizes.QueryWidth, sizes.ValueWidth, most > 8 ? 16 : most > 4 ? 8 : 4);
    }

    /// <summary>Floats of a tile of 32 rows.</summary>
    public static int TileFloats(int width) => 32 * (width % 4 == 0 ? width + 4 : width | 1);

    /// <summary>Floats of the weights of the tile's rows.</summary>
    public int WeightFloats => 32 * (Rows + 4);

    public int RowBlocks(in BiLevelRoutingSizes sizes) => (sizes.Layout.Tokens + Rows - 1) / Rows;

    /// <summary>Warps with work.</summary>
    public long Items(in BiLevelRoutingSizes sizes) => (long)sizes.Batch * sizes.Layout.Count * RowBlocks(sizes) * sizes.Heads;

    public void Launch<TParameters>(string source, bool half, string function, nint stream, long items, int warpFloats, in TParameters parameters)
        where TParameters : unmanaged
    {
        var warpBytes = warpFloats * sizeof(float);
        var warps = Math.Min(WarpsPerBlock, CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock / warpBytes);
        if (warps == 0)
            throw new KernelException($"heads of {QueryWidth} query and {ValueWidth} value channels are too wide for this device's shared memory");
        Program(source, half).Function(function).Launch(
            stream, new((items + warps - 1) / warps), warps * 32, warps * warpBytes, parameters);
    }

    private CudaProgram Program(string source, bool half) => Programs.GetOrAdd((source, half, this), static key => new CudaProgram(
        key.Source,
        [
            $"QUERY_WIDTH={key.Tile.QueryWidth}", $"VALUE_WIDTH={key.Tile.ValueWidth}", $"ROWS={key.Tile.Rows}",
            .. key.Half ? ["T_HALF"] : Array.Empty<string>(),
        ]));
}
