namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A scaled sum of float16 maps on CUDA.</summary>
internal sealed unsafe class AffineSumKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 256;
    private const int ChannelsPerThread = 4;

    private static readonly CudaProgram Program = CudaProgram.For<Half>("affine_sum.cu");

    private readonly bool _isRectified = attributes.Int("is_rectified") != 0;

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var channels = x.Shape.Rank > 0 ? x.Shape.Dims[^1] : 0;
        if (channels % ChannelsPerThread != 0)
            throw new KernelException($"input 'x' has {channels} channels, expected a multiple of {ChannelsPerThread}");
        var parameters = new Parameters
        {
            X = x.Data<Half>(),
            Scale = context.Input(1).Expect("[C]", channels).Data<Half>(),
            Addend = context.Input(2).Expect("the shape of x", x.Shape.Dims).Data<Half>(),
            Shift = context.Input(3).Expect("[C]", channels).Data<Half>(),
            Y = context.Output<Half>(0, x.Shape.Dims),
            Count = TensorShape.CountOf(x.Shape.Dims) / ChannelsPerThread,
            Channels = (int)channels,
            IsRectified = _isRectified ? 1 : 0,
        };
        Program.Function("affine_sum").Launch(context.Stream, new((parameters.Count + Threads - 1) / Threads), Threads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public Half* X;
        public Half* Scale;
        public Half* Addend;
        public Half* Shift;
        public Half* Y;
        public long Count;
        public int Channels;
        public int IsRectified;
    }
}
