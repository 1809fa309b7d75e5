namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Global dynamic convolution on CUDA. In float16 projection and filters are always multiplied first: what the definition multiplies
/// first, a sum over all channels, overflows easily.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class GlobalDynamicConvolutionKernel<T> : IKernel
    where T : unmanaged
{
    private const int Threads = 256;
    private const int Tile = 128;
    private const int MostBlocks = 65535;

    private static readonly bool IsHalf = typeof(T) == typeof(Half);

    private static readonly CudaProgram Program = new("global_dynamic_convolution.cu", IsHalf ? ["T_HALF"] : []);

    public void Compute(KernelContext context)
    {
        var sizes = GlobalDynamicConvolutionSizes.Of(context);
        if (sizes.Batch > MostBlocks)
            throw new KernelException($"a batch of {sizes.Batch} is too large, {MostBlocks} is the most");
        var (channels, tokens, positions) = (sizes.Channels, sizes.Tokens, sizes.Positions);
        var key = context.Input(1).Data<T>();
        var filters = context.Input(2).Data<T>();
        var projection = context.Input(3).Data<T>();
        var isFolded = IsHalf || sizes.IsFoldingLess;
        // [C, C] a picture, or [T, H W].
        var firstSize = isFolded ? (long)channels * channels : (long)tokens * positions;
        using var memory = context.Allocate((sizes.Batch * firstSize * sizeof(T)) + (channels * sizeof(float)));
        var constants = (float*)memory.Data;
        var first = (T*)(constants + channels);

        var stream = context.Stream;
        Program.Function("channel_constants").Launch(stream, new((channels + (Threads / 32) - 1) / (Threads / 32)), Threads, 0, new Constants
        {
            Projection = projection,
            Offset = context.Input(4).Data<T>(),
            Bias = context.Input(5).Data<T>(),
            Result = constants,
            Channels = channels,
            Tokens = tokens,
        });
        var last = new Product
        {
            Addend = context.Input(0).Data<T>(),
            Constants = constants,
            Result = context.Output<T>(0, context.Input(0).Shape.Dims),
            Rows = channels,
            Columns = positions,
        };
        var (filterSize, mapSize) = ((long)tokens * channels, (long)channels * positions);
        if (isFolded)
        {
            Launch(new()
            {
                A = projection, B = filters, BSize = filterSize, Result = first, Rows = channels, Inner = tokens, Columns = channels,
            });
            Launch(last with { A = first, ASize = firstSize, B = key, BSize = mapSize, Inner = channels });
        }
        else
        {
            Launch(new()
            {
                A = filters, ASize = filterSize, B = key, BSize = mapSize, Result = first, Rows = tokens, Inner = channels, Columns = positions,
            });
            Launch(last with { A = projection, B = first, BSize = firstSize, Inner = tokens });
        }

        void Launch(in Product product) => Program.Function("product").Launch(
            stream, new((product.Columns + Tile - 1) / Tile, (product.Rows + Tile - 1) / Tile, sizes.Batch), Threads, 0, product);
    }

    public void Dispose()
    {
    }

    private struct Constants
    {
        public T* Projection;
        public T* Offset;
        public T* Bias;
        public float* Result;
        public int Channels;
        public int Tokens;
    }

    private struct Product
    {
        public T* A;
        public T* B;
        public T* Addend;
        public float* Constants;
        public T* Result;
        public long ASize;
        public long BSize;
        public int Rows;
        public int Inner;
        public int Columns;
    }
}
