namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of bi-level routing attention on CUDA: which regions attend to each, the gradient of the query, then those of key and value.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class BiLevelRoutingAttentionGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const string Source = "bi_level_routing_attention_grad.cu";
    private const int MaskThreads = 256;

    private static readonly bool IsHalf = typeof(T) == typeof(Half);

    private static readonly CudaProgram Routing = IsHalf ? new("bi_level_routing.cu", "T_HALF") : new("bi_level_routing.cu");

    private readonly BiLevelRouting _routing = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _routing.Sizes(context, 1);
        var (height, width, regions) = (sizes.Layout.Height, sizes.Layout.Width, sizes.Layout.Count);
        ReadOnlySpan<long> query = [sizes.Batch, height, width, sizes.QueryChannels];
        ReadOnlySpan<long> value = [sizes.Batch, height, width, sizes.ValueChannels];
        var routing = context.Input(5).Expect("[N, R, top_k]", sizes.Batch, regions, sizes.TopK).Data<long>();
        var words = (regions + 31) / 32;
        var products = (long)sizes.Batch * sizes.Heads * sizes.Positions;
        using var memory = context.Allocate((products * sizeof(float)) + ((long)sizes.Batch * regions * words * sizeof(uint)));
        var outputProducts = (float*)memory.Data;
        var selectors = (uint*)(outputProducts + products);

        var stream = context.Stream;
        var device = new BiLevelRoutingParameters(sizes);
        Routing.Function("selector_masks").Launch(stream, new(sizes.Batch), MaskThreads, 0,
            new MaskParameters { Routing = routing, Selectors = selectors, Words = words, Sizes = device });

        var tile = AttentionTile.For(sizes, mostSums: 16);
        var items = tile.Items(sizes);
        var sharedFloats = (tile.Rows * (tile.QueryWidth + tile.ValueWidth))
            + AttentionTile.TileFloats(tile.QueryWidth) + AttentionTile.TileFloats(tile.ValueWidth) + tile.WeightFloats;
        var parameters = new Parameters
        {
            OutputGrad = context.Input(0).Expect("[N, H, W, C]", value).Data<T>(),
            Query = context.Input(1).Data<T>(),
            Key = context.Input(2).Data<T>(),
            Value = context.Input(3).Data<T>(),
            Output = context.Input(4).Expect("[N, H, W, C]", value).Data<T>(),
            Routing = routing,
            LogSumExp = context.Input(6).Expect("[N, num_heads, H, W]", sizes.Batch, sizes.Heads, height, width).Data<float>(),
            OutputProducts = outputProducts,
            Selectors = selectors,
            QueryGrad = context.Output<T>(0, query),
            KeyGrad = context.Output<T>(1, query),
            ValueGrad = context.Output<T>(2, value),
            Items = items,
            RowBlocks = tile.RowBlocks(sizes),
            WarpFloats = sharedFloats,
            Words = words,
            Sizes = device,
        };
        tile.Launch(Source, IsHalf, "query_grad", stream, items, parameters.WarpFloats, parameters);
        parameters.WarpFloats = sharedFloats + tile.WeightFloats + 32;
        tile.Launch(Source, IsHalf, "key_value_grad", stream, items, parameters.WarpFloats, parameters);
    }

    public void Dispose()
    {
    }

    private struct MaskParameters
    {
        public long* Routing;
        public uint* Selectors;
        public int Words;
        public BiLevelRoutingParameters Sizes;
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Output;
        public long* Routing;
        public float* LogSumExp;
        public float* OutputProducts;
        public uint* Selectors;
        public T* QueryGrad;
        public T* KeyGrad;
        public T* ValueGrad;
        public long Items;
        public int RowBlocks;
        public int WarpFloats;
        public int Words;
        public BiLevelRoutingParameters Sizes;
    }
}
