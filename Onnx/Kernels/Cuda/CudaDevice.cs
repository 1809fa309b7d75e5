namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>What kernels need to know of a CUDA device.</summary>
/// <param name="Ordinal">The driver's number of the device.</param>
/// <param name="Major">Major compute capability.</param>
/// <param name="Minor">Minor compute capability.</param>
/// <param name="Multiprocessors">Number of streaming multiprocessors.</param>
/// <param name="SharedMemoryPerBlock">The most shared memory that a block can have, bytes.</param>
internal readonly record struct CudaDevice(int Ordinal, int Major, int Minor, int Multiprocessors, int SharedMemoryPerBlock)
{
    /// <summary>Compute capability as in <c>sm_90</c>.</summary>
    public int Architecture => Major * 10 + Minor;
}
