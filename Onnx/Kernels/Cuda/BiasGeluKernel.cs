namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>GELU of rows plus a bias on CUDA: one pass over the elements.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class BiasGeluKernel<T> : IKernel
    where T : unmanaged
{
    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var width = x.Shape.Dims[^1];
        var parameters = new BiasGeluParameters<T>
        {
            X = x.Data<T>(),
            Bias = context.Input(1).Expect("[C]", width).Data<T>(),
            Result = context.Output<T>(0, x.Shape.Dims),
            Strips = new(TensorShape.CountOf(x.Shape.Dims[..^1]), width),
        };
        parameters.Launch(context.Stream, "bias_gelu");
    }

    public void Dispose()
    {
    }
}
