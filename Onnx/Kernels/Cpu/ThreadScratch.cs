namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Temporary memory of the calling thread, kept from call to call; it goes when the thread goes.</summary>
internal static unsafe class ThreadScratch
{
    [ThreadStatic]
    private static byte[]? _memory;

    /// <summary>At least this many bytes, with what the last use left in them; the next call by the same thread gets the same.</summary>
    public static void* Get(long bytes)
    {
        var needed = checked((int)(bytes + Partition.Alignment));
        if (_memory is null || _memory.Length < needed)
            _memory = GC.AllocateUninitializedArray<byte>(needed, pinned: true);
        fixed (byte* memory = _memory)
            return (void*)(((nuint)memory + Partition.Alignment - 1) & ~((nuint)Partition.Alignment - 1));
    }
}
