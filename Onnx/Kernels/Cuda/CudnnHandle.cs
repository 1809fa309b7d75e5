using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A handle of cuDNN for a CUDA context, kept for the life of the process. Threads lock it while they enqueue work.</summary>
internal sealed class CudnnHandle
{
    private static readonly ConcurrentDictionary<nint, Lazy<CudnnHandle>> Handles = new();

    private CudnnHandle() => Value = Cudnn.Instance.CreateHandle();

    /// <summary>The handle for the calling thread's context.</summary>
    public static CudnnHandle Current =>
        Handles.GetOrAdd(CudaDriver.Instance.CurrentContext, _ => new Lazy<CudnnHandle>(() => new CudnnHandle())).Value;

    /// <summary>The native handle (cudnnHandle_t).</summary>
    public nint Value { get; }

    /// <summary>The plans made with the handle.</summary>
    public Dictionary<ConvolutionSizes, CudnnConvolution> Convolutions { get; } = [];
}
