using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Convolution of each channel on its own of float16 maps with channels last on CUDA.</summary>
internal sealed unsafe class ChannelsLastDepthwiseConvKernel(KernelAttributes attributes) : IKernel
{
    private const int Threads = 128;
    private const int WidthPerThread = 4;

    private static readonly ConcurrentDictionary<(int Height, int Width, bool IsPlain), CudaProgram> Programs = new();

    private readonly ConvolutionWindow _window = new(attributes);

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, H, W, C]", -1, -1, -1, -1);
        var channels = x.Shape[3];
        if (channels % 2 != 0)
            throw new KernelException($"input 'x' has {channels} channels, expected an even number");
        var weight = context.Input(1).Expect("[kH, kW, C]", _window.KernelHeight, _window.KernelWidth, channels);
        var (height, width) = (_window.OutputHeight(x.Shape[1]), _window.OutputWidth(x.Shape[2]));
        var groups = _window.IsPlain ? (width + WidthPerThread - 1) / WidthPerThread : width;
        var parameters = new Parameters
        {
            X = x.Data<Half>(),
            Weight = weight.Data<Half>(),
            Bias = context.Input(2).Expect("[C]", channels).Data<Half>(),
            Y = context.Output<Half>(0, x.Shape.Dims[0], height, width, channels),
            Count = x.Shape.Dims[0] * height * groups * (channels / 2),
            Height = x.Shape[1],
            Width = x.Shape[2],
            Channels = channels,
            OutputHeight = height,
            OutputWidth = width,
            Window = _window,
        };
        var program = Programs.GetOrAdd((_window.KernelHeight, _window.KernelWidth, _window.IsPlain), key => CudaProgram.For<Half>(
            "channels_last_depthwise_conv.cu",
            [$"KERNEL_HEIGHT={key.Height}", $"KERNEL_WIDTH={key.Width}", .. key.IsPlain ? ["PLAIN"] : Array.Empty<string>()]));
        program.Function("convolve").Launch(context.Stream, new((parameters.Count + Threads - 1) / Threads), Threads, 0, parameters);
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public Half* X;
        public Half* Weight;
        public Half* Bias;
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
