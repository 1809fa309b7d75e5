namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>How the columns of a map are cut into tiles that fit into shared memory, for raft-token mixing.</summary>
internal readonly struct RaftTiling
{
    public const int Threads = 256;

    /// <summary>Little enough that a few blocks run on one multiprocessor.</summary>
    private const int LargestSharedBytes = 96 * 1024;

    /// <summary>Where blocks go through many tiles: a few blocks on each multiprocessor of a large device.</summary>
    private const int LargestBlockCount = 1024;

    private RaftTiling(RaftSizes sizes, int sharedBytes) => (Sizes, SharedBytes) = (sizes, sharedBytes);

    public RaftSizes Sizes { get; }

    public int SharedBytes { get; }

    public long TileCount => Sizes.Rows == 0 ? 0 : Sizes.Columns * ((Sizes.Height + Sizes.Rows - 1) / Sizes.Rows);

    public int BlockCount => (int)Math.Min(TileCount, LargestBlockCount);

    /// <summary>The tiling of a map [N, H, W, C].</summary>
    /// <param name="map">The map.</param>
    /// <param name="raftSize">The number of channels that are mixed together.</param>
    /// <param name="tiles">The tiles that a block holds at once.</param>
    /// <param name="otherFloats">The numbers that a block holds besides, from the sizes.</param>
    public static RaftTiling For(KernelInput map, int raftSize, int tiles, Func<RaftSizes, int> otherFloats)
    {
        var dims = map.Expect("[N, H, W, C]", -1, -1, -1, -1).Shape.Dims;
        var sizes = new RaftSizes
        {
            Columns = dims[0] * dims[2],
            Height = (int)dims[1],
            Width = (int)dims[2],
            Channels = (int)dims[3],
            RaftSize = raftSize,
        };
        if (sizes.Channels % raftSize != 0)
            throw new KernelException($"attribute 'raft_size' is {raftSize}, expected a divisor of the {sizes.Channels} channels");
        var others = otherFloats(sizes);
        var most = Math.Min(LargestSharedBytes, CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock) / sizeof(float);
        var rowFloats = tiles * (sizes.Channels + 1);
        sizes.Rows = Math.Min(sizes.Height, (most - others) / rowFloats);
        if (sizes.Rows < Math.Min(1, sizes.Height))
        {
            throw new KernelException(
                $"{sizes.Channels} channels in columns of {sizes.Height} positions are too many for this device's shared memory");
        }
        return new(sizes, ((sizes.Rows * rowFloats) + others) * sizeof(float));
    }
}

/// <summary>Sizes of raft_tile.cuh.</summary>
internal struct RaftSizes
{
    public long Columns;
    public int Height;
    public int Width;
    public int Channels;
    public int RaftSize;
    public int Rows;
}
