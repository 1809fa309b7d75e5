namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The parameters of bias_gelu.cu.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal unsafe struct BiasGeluParameters<T>
    where T : unmanaged
{
    public T* OutputGrad;
    public T* X;
    public T* Bias;
    public T* Result;
    public float* Partials;
    public RowStrips Strips;

    private static readonly CudaProgram Four = CudaProgram.For<T>("bias_gelu.cu", "STEP=4");
    private static readonly CudaProgram One = CudaProgram.For<T>("bias_gelu.cu", "STEP=1");

    public readonly void Launch(nint stream, string function) =>
        (Strips.Step == 4 ? Four : One).Function(function).Launch(stream, Strips.Grid, RowStrips.Threads, 0, this);
}
