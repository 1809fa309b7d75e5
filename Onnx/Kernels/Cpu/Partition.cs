namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Cuts memory into aligned arrays. Run once over no memory at all, it tells the size that is needed.</summary>
internal unsafe struct Partition(void* memory)
{
    public const int Alignment = 64;

    private readonly byte* _memory = (byte*)memory;

    /// <summary>The size of what was taken so far.</summary>
    public long Bytes { get; private set; }

    public T* Take<T>(long count) where T : unmanaged
    {
        var taken = (T*)(_memory + Bytes);
        Bytes += ((count * sizeof(T)) + Alignment - 1) / Alignment * Alignment;
        return taken;
    }
}
