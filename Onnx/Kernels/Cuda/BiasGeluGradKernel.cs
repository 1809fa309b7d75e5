namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>The gradient of GELU of rows plus a bias on CUDA: one pass over the elements and the sum of its partial sums.</summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class BiasGeluGradKernel<T> : IKernel
    where T : unmanaged
{
    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var width = x.Shape.Dims[^1];
        var strips = new RowStrips(TensorShape.CountOf(x.Shape.Dims[..^1]), width);
        using var memory = context.Allocate(strips.Count * width * sizeof(float));
        var parameters = new BiasGeluParameters<T>
        {
            OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<T>(),
            X = x.Data<T>(),
            Bias = context.Input(2).Expect("[C]", width).Data<T>(),
            Result = context.Output<T>(0, x.Shape.Dims),
            Partials = (float*)memory.Data,
            Strips = strips,
        };
        parameters.Launch(context.Stream, "bias_gelu_grad");
        PartialSums.Add(context.Stream, parameters.Partials, context.Output<T>(1, width), strips.Count, strips.Width);
    }

    public void Dispose()
    {
    }
}
