namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Times what is enqueued on a stream after it was made.</summary>
/// <param name="stream">The stream (CUstream).</param>
internal readonly struct CudaStopwatch(nint stream) : IDisposable
{
    private readonly nint _start = CudaDriver.Instance.RecordEvent(stream);

    /// <summary>Milliseconds so far; waits until all is done.</summary>
    public float Elapsed
    {
        get
        {
            var end = CudaDriver.Instance.RecordEvent(stream);
            try
            {
                return CudaDriver.Instance.TimeBetween(_start, end);
            }
            finally
            {
                CudaDriver.Instance.DestroyEvent(end);
            }
        }
    }

    public void Dispose() => CudaDriver.Instance.DestroyEvent(_start);
}
