namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A kernel loaded on a device.</summary>
internal sealed unsafe class CudaFunction(string name, nint handle)
{
    /// <summary>What every block may have without asking.</summary>
    private const int DefaultSharedMemory = 48 * 1024;

    private int _allowedSharedMemory = DefaultSharedMemory;

    /// <summary>Enqueues the kernel; a grid without blocks does nothing.</summary>
    /// <param name="stream">ONNX Runtime's stream.</param>
    /// <param name="grid">Number of blocks.</param>
    /// <param name="threads">Threads a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory a block.</param>
    /// <param name="parameters">The kernel's only parameter: a struct of the same layout in CUDA C++.</param>
    public void Launch<TParameters>(nint stream, GridSize grid, int threads, int sharedBytes, in TParameters parameters)
        where TParameters : unmanaged
    {
        if (grid.IsEmpty)
            return;
        if (sharedBytes > Volatile.Read(ref _allowedSharedMemory))
        {
            CudaDriver.Instance.AllowSharedMemory(handle, sharedBytes);
            Volatile.Write(ref _allowedSharedMemory, sharedBytes);
        }
        fixed (TParameters* pointer = &parameters)
            CudaDriver.Instance.Launch(handle, name, grid, threads, sharedBytes, stream, pointer);
    }
}
