using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The struct Sizes of self_calibrated_attention.cuh.</summary>
internal readonly struct SelfCalibratedSizes
{
    public readonly int Windows;
    public readonly int Length;
    public readonly int SupportBatch;
    public readonly int SupportWindows;
    public readonly int SupportLength;
    public readonly int Heads;
    public readonly float Scale;

    private SelfCalibratedSizes(int windows, int length, int supportBatch, int supportWindows, int supportLength, int heads, float scale)
    {
        (Windows, Length, SupportBatch) = (windows, length, supportBatch);
        (SupportWindows, SupportLength, Heads, Scale) = (supportWindows, supportLength, heads, scale);
    }

    public static SelfCalibratedSizes Of<T>(in SelfCalibratedInputs<T> inputs) where T : unmanaged => new(
        inputs.Windows, inputs.Length, inputs.SupportBatch, inputs.SupportWindows, inputs.SupportLength, inputs.Heads, inputs.Scale);
}

/// <summary>
/// The launch of the kernels of self-calibrated cross attention, which give each warp some positions of one head of a window. The text is
/// compiled for the width of a head, so that the loops over it are unrolled.
/// </summary>
/// <param name="Width">Channels of a head.</param>
/// <param name="Rows">Positions that a warp takes: 4, 8 or 16.</param>
/// <param name="Warps">Warps of a block: 1, 2 or 4.</param>
internal readonly record struct WindowTile(int Width, int Rows, int Warps)
{
    private static readonly ConcurrentDictionary<(string Source, bool Half, WindowTile Tile), CudaProgram> Programs = new();

    /// <param name="width">Channels of a head.</param>
    /// <param name="positions">Positions of a window that warps take.</param>
    /// <param name="mostSums">Sums that a lane can have in registers.</param>
    public static WindowTile For(int width, int positions, int mostSums)
    {
        var most = Math.Min(mostSums / ((width + 31) / 32), positions);
        var rows = most > 8 ? 16 : most > 4 ? 8 : 4;
        return new(width, rows, positions > 2 * rows ? 4 : positions > rows ? 2 : 1);
    }

    /// <summary>Blocks for the positions of one head of a window.</summary>
    public int Blocks(int positions) => (positions + (Rows * Warps) - 1) / (Rows * Warps);

    /// <param name="source">File name of the text.</param>
    /// <param name="half">Whether elements are float16.</param>
    /// <param name="function">The kernel.</param>
    /// <param name="stream">ONNX Runtime's stream.</param>
    /// <param name="grid">Number of blocks.</param>
    /// <param name="rows">Rows that a warp keeps for each of its positions.</param>
    /// <param name="weights">Arrays of weights that a warp keeps.</param>
    /// <param name="parameters">The kernel's parameter.</param>
    public void Launch<TParameters>(
        string source, bool half, string function, nint stream, GridSize grid, int rows, int weights, in TParameters parameters)
        where TParameters : unmanaged
    {
        var tiles = 2 * AttentionTile.TileFloats(Width);
        var bytes = (tiles + (Warps * ((Rows * rows * Width) + (weights * 32 * (Rows + 4))))) * sizeof(float);
        if (bytes > CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock)
            throw new KernelException($"heads of {Width} channels are too wide for this device's shared memory");
        Programs.GetOrAdd((source, half, this), static key => new CudaProgram(
            key.Source,
            [
                $"HEAD_WIDTH={key.Tile.Width}", $"ROWS={key.Tile.Rows}", $"WARPS={key.Tile.Warps}",
                .. key.Half ? ["T_HALF"] : Array.Empty<string>(),
            ])).Function(function).Launch(stream, grid, Warps * 32, bytes, parameters);
    }
}
