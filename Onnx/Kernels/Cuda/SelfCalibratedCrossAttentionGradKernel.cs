namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// The gradient of self-calibrated cross attention on CUDA: that of the queries, then those of the windows' own keys and values, then
/// those of the support.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class SelfCalibratedCrossAttentionGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private readonly int _heads = attributes.PositiveInt("num_heads");

    public void Compute(KernelContext context)
    {
        var inputs = SelfCalibratedInputs<T>.Read(context, 1, _heads);
        var (batch, windows, length) = (inputs.Batch, inputs.Windows, inputs.Length);
        using var memory = context.Allocate((long)batch * windows * inputs.Heads * length * sizeof(float));
        var parameters = new Parameters
        {
            OutputGrad = context.Input(0).Expect("[N, W, L, C]", batch, windows, length, inputs.Channels).Data<T>(),
            Packed = inputs.Packed.At(0),
            Support = inputs.Support.At(0),
            Index = inputs.Index,
            Output = context.Input(4).Expect("[N, W, L, C]", batch, windows, length, inputs.Channels).Data<T>(),
            LogSumExp = context.Input(5).Expect("[N, W, heads, L]", batch, windows, inputs.Heads, length).Data<float>(),
            OutputProducts = (float*)memory.Data,
            PackedGrad = context.Output<T>(0, batch, windows, length, 3 * inputs.Channels),
            SupportGrad = context.Output<T>(
                1, inputs.SupportBatch, inputs.SupportWindows, inputs.SupportLength, 2 * inputs.Channels),
            Batch = batch,
            Sizes = SelfCalibratedSizes.Of(inputs),
        };
        var stream = context.Stream;
        Launch("query_grad", (long)batch * windows, length, weights: 1);
        Launch("own_grad", (long)batch * windows, length, weights: 2);
        Launch("support_grad", (long)inputs.SupportBatch * inputs.SupportWindows, inputs.SupportLength, weights: 2);

        void Launch(string function, long windowCount, int positions, int weights)
        {
            var tile = WindowTile.For(inputs.Width, positions, mostSums: 32);
            parameters.RowBlocks = tile.Blocks(positions);
            tile.Launch(
                "self_calibrated_cross_attention_grad.cu", typeof(T) == typeof(Half), function, stream,
                new(windowCount * inputs.Heads * parameters.RowBlocks), rows: 2, weights, parameters);
        }
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* Packed;
        public T* Support;
        public long* Index;
        public T* Output;
        public float* LogSumExp;
        public float* OutputProducts;
        public T* PackedGrad;
        public T* SupportGrad;
        public int Batch;
        public int RowBlocks;
        public SelfCalibratedSizes Sizes;
    }
}
