namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>One call of a kernel: its inputs, its outputs, and the threads, memory and stream of the session.</summary>
internal readonly unsafe ref struct KernelContext(void* context, KernelSignature signature)
{
    private readonly void* _context = context;
    private readonly KernelSignature _signature = signature;

    /// <summary>An input; absent ones have <see cref="KernelInput.IsPresent"/> false.</summary>
    public KernelInput Input(int index) => new(
        _signature.Inputs[index].Name,
        index < OrtCApi.GetInputCount(_context) ? OrtCApi.GetInput(_context, index) : null);

    /// <summary>Allocates an output.</summary>
    /// <returns>Its elements, or null where nobody asks for the optional output.</returns>
    public T* Output<T>(int index, params ReadOnlySpan<long> dims) where T : unmanaged
    {
        if (index >= OrtCApi.GetOutputCount(_context))
            return null;
        var tensor = OrtCApi.GetOutput(_context, index, dims);
        return tensor == null ? null : (T*)OrtCApi.GetData(tensor);
    }

    /// <summary>Temporary memory where input 0 lives, from the session's own allocator.</summary>
    public ScratchMemory Allocate(long bytes) => new(_context, OrtCApi.GetMemoryInfo(OrtCApi.GetInput(_context, 0)), (nuint)bytes);

    /// <summary>Runs <paramref name="work"/> for 0..<paramref name="count"/>-1 on the session's intra-op threads.</summary>
    public void ParallelFor<TWork>(in TWork work, int count) where TWork : unmanaged, IParallelWork => ParallelLoop.Run(_context, work, count);

    /// <summary>The CUDA stream (CUstream) that the kernel's work must be enqueued on; zero off CUDA.</summary>
    public nint Stream => (nint)OrtCApi.GetGpuComputeStream(_context);
}
