namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Bi-level routing attention on CUDA in three launches: means of the regions, routing, attention.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class BiLevelRoutingAttentionKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const string Source = "bi_level_routing_attention.cu";
    private const int MostMeanThreads = 256;
    private const int RouteThreads = 256;

    /// <summary>QUERIES of bi_level_routing.cu.</summary>
    private const int RegionsPerRoute = 8;

    private static readonly bool IsHalf = typeof(T) == typeof(Half);

    private static readonly CudaProgram Routing = IsHalf ? new("bi_level_routing.cu", "T_HALF") : new("bi_level_routing.cu");

    private readonly BiLevelRouting _routing = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _routing.Sizes(context, 0);
        var (height, width, regions) = (sizes.Layout.Height, sizes.Layout.Width, sizes.Layout.Count);
        var query = context.Input(0).Data<T>();
        var key = context.Input(1).Data<T>();
        var value = context.Input(2).Data<T>();
        var output = context.Output<T>(0, sizes.Batch, height, width, sizes.ValueChannels);
        var routing = context.Output<long>(1, sizes.Batch, regions, sizes.TopK);
        var logSumExp = context.Output<float>(2, sizes.Batch, sizes.Heads, height, width);
        var shared = RegionsPerRoute * (sizes.QueryChannels + regions) * sizeof(float);
        if (shared > CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock)
            throw new KernelException($"{regions} regions of {sizes.QueryChannels} channels are too many for this device's shared memory");

        var stream = context.Stream;
        var device = new BiLevelRoutingParameters(sizes);
        var means = (long)sizes.Batch * regions * sizes.QueryChannels;
        var choices = (long)sizes.Batch * regions * sizes.TopK;
        using var memory = context.Allocate((2 * means * sizeof(float)) + (choices * sizeof(int)));
        var queryMeans = (float*)memory.Data;
        var keyMeans = queryMeans + means;
        var selected = (int*)(keyMeans + means);
        Routing.Function("region_means").Launch(
            stream, new((long)sizes.Batch * regions, 2), Math.Min((sizes.QueryChannels + 31) / 32 * 32, MostMeanThreads), 0,
            new MeanParameters { Query = query, Key = key, QueryMeans = queryMeans, KeyMeans = keyMeans, Sizes = device });
        Routing.Function("route").Launch(
            stream, new((long)sizes.Batch * ((regions + RegionsPerRoute - 1) / RegionsPerRoute)), RouteThreads, shared,
            new RouteParameters { QueryMeans = queryMeans, KeyMeans = keyMeans, Selected = selected, Routing = routing, Sizes = device });

        var tile = AttentionTile.For(sizes, mostSums: 32);
        var warpFloats = (tile.Rows * tile.QueryWidth) + AttentionTile.TileFloats(tile.QueryWidth) + tile.WeightFloats;
        tile.Launch(Source, IsHalf, "attend", stream, tile.Items(sizes), warpFloats, new AttendParameters
        {
            Query = query,
            Key = key,
            Value = value,
            Selected = selected,
            Output = output,
            LogSumExp = logSumExp,
            Items = tile.Items(sizes),
            RowBlocks = tile.RowBlocks(sizes),
            WarpFloats = warpFloats,
            Sizes = device,
        });
    }

    public void Dispose()
    {
    }

    private struct MeanParameters
    {
        public T* Query;
        public T* Key;
        public float* QueryMeans;
        public float* KeyMeans;
        public BiLevelRoutingParameters Sizes;
    }

    private struct RouteParameters
    {
        public float* QueryMeans;
        public float* KeyMeans;
        public int* Selected;
        public long* Routing;
        public BiLevelRoutingParameters Sizes;
    }

    private struct AttendParameters
    {
        public T* Query;
        public T* Key;
        public T* Value;
        public int* Selected;
        public T* Output;
        public float* LogSumExp;
        public long Items;
        public int RowBlocks;
        public int WarpFloats;
        public BiLevelRoutingParameters Sizes;
    }
}
