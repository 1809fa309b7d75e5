namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The inputs of one call of self-calibrated cross attention or its gradient.</summary>
internal unsafe struct SelfCalibratedInputs<T> where T : unmanaged
{
    public int Batch;
    public int Windows;
    public int Length;
    public int SupportBatch;
    public int SupportWindows;
    public int SupportLength;
    public int Heads;

    /// <summary>Channels of queries, of keys and of values, all heads.</summary>
    public int Channels;

    /// <summary>[N, W, L, query | key | value]</summary>
    public AttentionRows<T> Packed;

    /// <summary>[M, U, S, key | value]</summary>
    public AttentionRows<T> Support;

    /// <summary>[N, W]</summary>
    public long* Index;

    /// <summary>Channels of one head.</summary>
    public readonly int Width => Channels / Heads;

    public readonly float Scale => 1 / MathF.Sqrt(Width);

    /// <summary>Reads the inputs, of which the packed one is number <paramref name="first"/>.</summary>
    public static SelfCalibratedInputs<T> Read(KernelContext context, int first, int heads)
    {
        var packed = context.Input(first).Expect("[N, W, L, 3 C]", -1, -1, -1, -1);
        var channels = packed.Shape[3] / 3;
        if (channels * 3 != packed.Shape[3] || channels % heads != 0)
        {
            throw new KernelException(
                $"input 'packed' has {packed.Shape[3]} channels, expected 3 times a multiple of num_heads = {heads}");
        }
        var support = context.Input(first + 1).Expect("[M, U, S, 2 C]", -1, -1, -1, 2 * channels);
        if (packed.Shape[0] > 0 && (support.Shape[0] == 0 || packed.Shape[0] % support.Shape[0] != 0 || support.Shape[1] == 0))
        {
            throw new KernelException(
                $"input 'support' has {support.Shape[0]} elements of {support.Shape[1]} windows, expected windows of elements that divide "
                + $"the batch of {packed.Shape[0]}");
        }
        return new()
        {
            Batch = packed.Shape[0], Windows = packed.Shape[1], Length = packed.Shape[2],
            SupportBatch = support.Shape[0], SupportWindows = support.Shape[1], SupportLength = support.Shape[2],
            Heads = heads, Channels = channels,
            Packed = new(packed.Data<T>(), 3 * channels), Support = new(support.Data<T>(), 2 * channels),
            Index = context.Input(first + 2).Expect("[N, W]", packed.Shape[0], packed.Shape[1]).Data<long>(),
        };
    }

    /// <summary>The window of the support, among those of all its elements, that a window attends to. For inputs on the host.</summary>
    /// <param name="window">The number of the window among those of the batch.</param>
    public readonly long Aligned(long window) => (window / Windows % SupportBatch * SupportWindows) + Index[window];

    /// <summary>Refuses an index beyond the windows of the support. For inputs on the host.</summary>
    public readonly void CheckIndex()
    {
        for (var window = 0; window < Batch * Windows; window++)
        {
            if (Index[window] < 0 || Index[window] >= SupportWindows)
            {
                throw new KernelException(
                    $"input 'index' has {Index[window]}, expected 0 to below the {SupportWindows} windows of the support");
            }
        }
    }
}
