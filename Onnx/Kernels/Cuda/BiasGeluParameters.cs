namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The parameters of bias_gelu.cu, and how its threads lie over rows and columns.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal unsafe struct BiasGeluParameters<T>
    where T : unmanaged
{
    public T* OutputGrad;
    public T* X;
    public T* Bias;
    public T* Result;
    public float* Partials;
    public long Rows;
    public int Width;
    public int Strips;

    private const int Threads = 256;

    private static readonly CudaProgram Four = CudaProgram.For<T>("bias_gelu.cu", "STEP=4");
    private static readonly CudaProgram One = CudaProgram.For<T>("bias_gelu.cu", "STEP=1");

    private readonly int Steps => Width % 4 == 0 ? Width / 4 : Width;

    private readonly int ColumnBlocks => (Steps + Threads - 1) / Threads;

    /// <summary>Cuts the rows into strips; false where there is nothing to do.</summary>
    public bool Lay(long elements, int width)
    {
        if (elements == 0)
            return false;
        (Rows, Width) = (elements / width, width);
        var together = Math.Max(1, Threads / Steps);
        Strips = PartialSums.Parts(ColumnBlocks, (Rows + together - 1) / together);
        return true;
    }

    public readonly void Launch(nint stream, string function) =>
        (Width % 4 == 0 ? Four : One).Function(function).Launch(stream, new(ColumnBlocks, Strips), Threads, 0, this);
}
