namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Efficient local attention on CUDA: one launch where the map of a block of channels fits into shared memory, three elsewhere.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class EfficientLocalAttentionKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const int BlockThreads = 512;
    private const int MapThreads = 256;

    private static readonly CudaProgram Program = CudaProgram.For<T>("efficient_local_attention.cu");

    private readonly LocalAttention _attention = new(attributes);

    public void Compute(KernelContext context)
    {
        var sizes = _attention.Sizes(context, 0);
        var device = new LocalAttentionParameters(sizes);
        var parameters = new Parameters
        {
            X = context.Input(0).Data<T>(),
            Weight = context.Input(1).Data<T>(),
            Scale = context.Input(2).Data<T>(),
            Bias = context.Input(3).Data<T>(),
            Y = context.Output<T>(0, context.Input(0).Shape.Dims),
            Sizes = device,
        };
        var stream = context.Stream;
        var blocks = new GridSize((long)sizes.Batch * sizes.Blocks);
        var inverseBytes = 2 * device.NormGroups * sizeof(float);
        var onChip = device.MapBytes(sizeof(T)) + (2 * device.StripBytes) + inverseBytes;
        if (onChip <= CudaDriver.Instance.CurrentDevice.SharedMemoryPerBlock)
        {
            Program.Function("attend").Launch(stream, blocks, BlockThreads, (int)onChip, parameters);
            return;
        }
        var channels = (long)sizes.Batch * sizes.Channels;
        using var memory = context.Allocate(2 * channels * device.Strip * sizeof(float));
        parameters.Strips = (float*)memory.Data;
        parameters.Convolved = parameters.Strips + (channels * device.Strip);
        Program.Function("average").Launch(stream, new(channels), MapThreads, 0, parameters);
        Program.Function("make_gates").Launch(stream, blocks, BlockThreads, inverseBytes, parameters);
        Program.Function("apply_gates").Launch(stream, new(channels), MapThreads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* X;
        public T* Weight;
        public T* Scale;
        public T* Bias;
        public T* Y;
        public float* Strips;
        public float* Convolved;
        public LocalAttentionParameters Sizes;
    }
}
