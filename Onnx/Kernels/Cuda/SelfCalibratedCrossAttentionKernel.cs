namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Self-calibrated cross attention on CUDA: a block has queries of one head of a window.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class SelfCalibratedCrossAttentionKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private readonly int _heads = attributes.PositiveInt("num_heads");

    public void Compute(KernelContext context)
    {
        var inputs = SelfCalibratedInputs<T>.Read(context, 0, _heads);
        var tile = WindowTile.For(inputs.Width, inputs.Length, mostSums: 64);
        var blocks = tile.Blocks(inputs.Length);
        tile.Launch(
            "self_calibrated_cross_attention.cu", typeof(T) == typeof(Half), "attend", context.Stream,
            new((long)inputs.Batch * inputs.Windows * inputs.Heads * blocks), rows: 1, weights: 1, new Parameters
            {
                Packed = inputs.Packed.At(0),
                Support = inputs.Support.At(0),
                Index = inputs.Index,
                Output = context.Output<T>(0, inputs.Batch, inputs.Windows, inputs.Length, inputs.Channels),
                LogSumExp = context.Output<float>(1, inputs.Batch, inputs.Windows, inputs.Heads, inputs.Length),
                RowBlocks = blocks,
                Sizes = SelfCalibratedSizes.Of(inputs),
            });
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* Packed;
        public T* Support;
        public long* Index;
        public T* Output;
        public float* LogSumExp;
        public int RowBlocks;
        public SelfCalibratedSizes Sizes;
    }
}
