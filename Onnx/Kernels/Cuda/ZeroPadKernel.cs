namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A border of zeros around float16 maps with channels last on CUDA.</summary>
internal sealed unsafe class ZeroPadKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 256;
    private const int ChannelsPerThread = 4;

    private static readonly CudaProgram Program = CudaProgram.For<Half>("zero_pad.cu");

    // Top, left, bottom, right.
    private readonly long[] _pads = attributes.Ints("pads");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var channels = x.Shape[3];
        if (channels % ChannelsPerThread != 0)
            throw new KernelException($"input 'x' has {channels} channels, expected a multiple of {ChannelsPerThread}");
        var (height, width) = (x.Shape.Dims[1] + _pads[0] + _pads[2], x.Shape.Dims[2] + _pads[1] + _pads[3]);
        var parameters = new Parameters
        {
            X = x.Data<Half>(),
            Y = context.Output<Half>(0, x.Shape.Dims[0], height, width, channels),
            Count = x.Shape.Dims[0] * height * width * (channels / ChannelsPerThread),
            Height = x.Shape[1],
            Width = x.Shape[2],
            Channels = channels,
            Top = (int)_pads[0],
            Left = (int)_pads[1],
            PaddedHeight = (int)height,
            PaddedWidth = (int)width,
        };
        Program.Function("zero_pad").Launch(context.Stream, new((parameters.Count + Threads - 1) / Threads), Threads, 0, parameters);
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
        public int Top;
        public int Left;
        public int PaddedHeight;
        public int PaddedWidth;
    }
}
