namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Max-pooling of float16 maps with channels last on CUDA.</summary>
internal sealed unsafe class ChannelsLastMaxPoolKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 256;
    private const int ChannelsPerThread = 4;

    private static readonly CudaProgram Program = CudaProgram.For<Half>("channels_last_max_pool.cu");

    private readonly ConvolutionWindow _window = new(attributes);

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var channels = x.Shape[3];
        if (channels % ChannelsPerThread != 0)
            throw new KernelException($"input 'x' has {channels} channels, expected a multiple of {ChannelsPerThread}");
        var (height, width) = (_window.OutputHeight(x.Shape[1]), _window.OutputWidth(x.Shape[2]));
        var parameters = new Parameters
        {
            X = x.Data<Half>(),
            Y = context.Output<Half>(0, x.Shape.Dims[0], height, width, channels),
            Count = x.Shape.Dims[0] * height * width * (channels / ChannelsPerThread),
            Height = x.Shape[1],
            Width = x.Shape[2],
            Channels = channels,
            OutputHeight = height,
            OutputWidth = width,
            Window = _window,
        };
        Program.Function("max_pool").Launch(context.Stream, new((parameters.Count + Threads - 1) / Threads), Threads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public Half* X;
        public Half* Y;
        public long Count;
        public int Height;
        public int Width;
        public int Channels;
        public int OutputHeight;
        public int OutputWidth;
        public ConvolutionWindow Window;
    }
}
