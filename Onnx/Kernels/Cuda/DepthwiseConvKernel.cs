using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Convolution of each channel on its own on CUDA. With stride and dilation 1 threads keep their windows in registers; all others are
/// computed output by output.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class DepthwiseConvKernel<T>(KernelAttributes attributes) : IKernel
    where T : unmanaged
{
    private const int LargestBlockCount = 65536;

    private static readonly CudaProgram AnyProgram = CudaProgram.For<T>("depthwise_conv.cu");
    private static readonly ConcurrentDictionary<(int Height, int Width), CudaProgram> PlainPrograms = new();

    private readonly ConvolutionWindow _window = new(attributes);

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, C, H, W]", -1, -1, -1, -1);
        var (batch, channels) = (x.Shape.Dims[0], x.Shape.Dims[1]);
        var weight = context.Input(1).Expect("[C, 1, kH, kW]", channels, 1, _window.KernelHeight, _window.KernelWidth);
        var bias = context.Input(2);
        var (height, width) = (_window.OutputHeight(x.Shape[2]), _window.OutputWidth(x.Shape[3]));
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Weight = weight.Data<T>(),
            Bias = bias.IsPresent ? bias.Expect("[C]", channels).Data<T>() : null,
            Y = context.Output<T>(0, batch, channels, height, width),
            Planes = batch * channels,
            Channels = x.Shape[1],
            Height = x.Shape[2],
            Width = x.Shape[3],
            OutputHeight = height,
            OutputWidth = width,
            Window = _window,
        };
        if (parameters.Planes * height * width == 0)
            return;
        if (_window.IsPlain && PlaneTiling.For(height, width, _window, parameters.Planes) is { } tiling)
        {
            (parameters.RowsPerThread, parameters.PlanesPerBlock) = (tiling.RowsPerThread, tiling.PlanesPerBlock);
            var program = PlainPrograms.GetOrAdd((_window.KernelHeight, _window.KernelWidth), size => CudaProgram.For<T>(
                "depthwise_conv.cu", $"KERNEL_HEIGHT={size.Height}", $"KERNEL_WIDTH={size.Width}"));
            var blocks = (parameters.Planes + tiling.PlanesPerBlock - 1) / tiling.PlanesPerBlock;
            program.Function("plain").Launch(context.Stream, new(blocks), PlaneTiling.Threads, tiling.SharedBytes, parameters);
        }
        else
        {
            var blocks = Math.Min(((parameters.Planes * height * width) + PlaneTiling.Threads - 1) / PlaneTiling.Threads, LargestBlockCount);
            AnyProgram.Function("any").Launch(context.Stream, new(blocks), PlaneTiling.Threads, 0, parameters);
        }
    }

    public void Dispose()
    {
    }

    private struct Parameters
    {
        public T* X;
        public T* Weight;
        public T* Bias;
        public T* Y;
        public long Planes;
        public int Channels;
        public int Height;
        public int Width;
        public int OutputHeight;
        public int OutputWidth;
        public ConvolutionWindow Window;
        public int RowsPerThread;
        public int PlanesPerBlock;
    }
}
