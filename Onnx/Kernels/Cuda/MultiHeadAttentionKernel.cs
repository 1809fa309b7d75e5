namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Multi-head attention on CUDA: short sequences whole in a block, of others tiles, in half on the tensor cores.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class MultiHeadAttentionKernel<T>(KernelAttributes attributes, AttentionForm form) : IKernel
    where T : unmanaged
{
    private const string Source = "multi_head_attention.cu";

    private readonly AttentionArguments _arguments = new(attributes, form);

    public void Compute(KernelContext context)
    {
        var inputs = _arguments.Read<T>(context, 0);
        var output = context.Output<T>(0, inputs.Batch, inputs.Queries, inputs.ValueChannels);
        Launch(context.Stream, inputs, output, context.Output<float>(1, inputs.Batch, inputs.Heads, inputs.Queries));
    }

    public void Dispose()
    {
    }

    /// <summary>Enqueues the attention of inputs that are known.</summary>
    public static void Launch(nint stream, in AttentionInputs<T> inputs, T* output, float* logSumExp)
    {
        var sizes = MultiHeadAttentionParameters.Of(inputs);
        if (ShortAttention.For(inputs) is { } shortAttention)
        {
            shortAttention.Launch<T>("attend_short", stream, inputs.Batch, new()
            {
                Query = inputs.Query.At(0),
                Key = inputs.Key.At(0),
                Value = inputs.Value.At(0),
                Bias = inputs.Bias,
                Output = output,
                LogSumExp = logSumExp,
                Sizes = sizes,
            });
            return;
        }
        if (TensorAttention.For(inputs) is { } tensorAttention)
        {
            tensorAttention.Launch(stream, inputs, output, logSumExp);
            return;
        }
        var tile = HeadTile.For(inputs, inputs.Queries, mostSums: 64);
        var blocks = tile.Blocks(inputs.Queries);
        tile.Launch(
            Source, typeof(T) == typeof(Half), "attend", stream, new((long)inputs.Batch * inputs.Heads * blocks),
            rowFloats: tile.QueryWidth, weights: 1, new Parameters
            {
                Query = inputs.Query.At(0),
                Key = inputs.Key.At(0),
                Value = inputs.Value.At(0),
                Bias = inputs.Bias,
                Output = output,
                LogSumExp = logSumExp,
                RowBlocks = blocks,
                Sizes = sizes,
            });
    }

    private struct Parameters
    {
        public T* Query;
        public T* Key;
        public T* Value;
        public T* Bias;
        public T* Output;
        public float* LogSumExp;
        public int RowBlocks;
        public MultiHeadAttentionParameters Sizes;
    }
}
