namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of GELU on CUDA: one pass over the elements.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class GeluGradKernel<T> : IKernel
    where T : unmanaged
{
    private const int Threads = 256;
    private const int ElementsPerThread = 4;

    private static readonly CudaProgram Program = CudaProgram.For<T>("gelu_grad.cu");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var g = context.Input(0).Expect("the shape of x", x.Shape.Dims);
        var parameters = new Parameters
        {
            OutputGrad = g.Data<T>(),
            X = x.Data<T>(),
            XGrad = context.Output<T>(0, x.Shape.Dims),
            Count = x.Shape.ElementCount,
        };
        const int elementsPerBlock = Threads * ElementsPerThread;
        Program.Function("gelu_grad").Launch(
            context.Stream, new((parameters.Count + elementsPerBlock - 1) / elementsPerBlock), Threads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* X;
        public T* XGrad;
        public long Count;
    }
}
