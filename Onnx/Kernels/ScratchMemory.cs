namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// Temporary memory of one kernel call, aligned to 64 bytes. On CUDA it may be freed while work on the session's stream still uses it:
/// the next owner's work is enqueued behind.
/// </summary>
internal readonly unsafe ref struct ScratchMemory : IDisposable
{
    private const nuint Alignment = 64;

    private readonly void* _allocator;
    private readonly void* _memory;

    public ScratchMemory(void* context, void* memoryInfo, nuint bytes)
    {
        _allocator = OrtCApi.GetAllocator(context, memoryInfo);
        try
        {
            _memory = OrtCApi.Allocate(_allocator, bytes + Alignment);
        }
        catch
        {
            OrtCApi.ReleaseAllocator(_allocator);
            throw;
        }
    }

    public void* Data => (void*)(((nuint)_memory + Alignment - 1) & ~(Alignment - 1));

    public void Dispose()
    {
        OrtCApi.Free(_allocator, _memory);
        OrtCApi.ReleaseAllocator(_allocator);
    }
}
