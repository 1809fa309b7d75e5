namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of softmax on CUDA: a warp a row where the last axis is normalised, else a thread a column.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class SoftmaxGradKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const int Threads = 256;
    private const int RowsPerBlock = Threads / 32;

    private static readonly CudaProgram Program = CudaProgram.For<T>("softmax_grad.cu");

    private readonly long _axis = attributes.Int("axis");

    public void Compute(KernelContext context)
    {
        var y = context.Input(1);
        var g = context.Input(0).Expect("the shape of y", y.Shape.Dims);
        var axis = (int)(_axis < 0 ? _axis + y.Shape.Rank : _axis);
        var parameters = new Parameters
        {
            OutputGrad = g.Data<T>(),
            Y = y.Data<T>(),
            XGrad = context.Output<T>(0, y.Shape.Dims),
            Outer = TensorShape.CountOf(y.Shape.Dims[..axis]),
            Size = (int)y.Shape.Dims[axis],
            Inner = (int)TensorShape.CountOf(y.Shape.Dims[(axis + 1)..]),
        };
        if (parameters.Inner == 1)
        {
            Program.Function("softmax_grad_rows").Launch(
                context.Stream, new((parameters.Outer + RowsPerBlock - 1) / RowsPerBlock), Threads, 0, parameters);
        }
        else
        {
            Program.Function("softmax_grad_columns").Launch(
                context.Stream, new(((parameters.Outer * parameters.Inner) + Threads - 1) / Threads), Threads, 0, parameters);
        }
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* OutputGrad;
        public T* Y;
        public T* XGrad;
        public long Outer;
        public int Size;
        public int Inner;
    }
}
