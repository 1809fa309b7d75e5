using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Convolution of each channel on its own on CUDA. With stride and dilation 1 threads keep their windows in registers; all others are
/// computed output by output.
/// </summary>
/// <typeparam name="T"><see cref="float"/> or <see cref="Half"/>.</typeparam>
internal sealed unsafe class DepthwiseConvKernel<T> : IKernel
    where T : unmanaged
{
    private const int LargestBlockCount = 65536;

    private static readonly CudaProgram AnyProgram = CudaProgram.For<T>("depthwise_conv.cu");
    private static readonly ConcurrentDictionary<(int Height, int Width), CudaProgram> PlainPrograms = new();

    private readonly long[] _kernel;
    private readonly long[] _strides;
    private readonly long[] _dilations;
    private readonly long[] _pads;

    public DepthwiseConvKernel(KernelAttributes attributes)
    {
        _kernel = attributes.Ints("kernel_shape");
        _strides = attributes.Ints("strides");
        _dilations = attributes.Ints("dilations");
        _pads = attributes.Ints("pads");
    }

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, C, H, W]", -1, -1, -1, -1);
        var (batch, channels) = (x.Shape.Dims[0], x.Shape.Dims[1]);
        var weight = context.Input(1).Expect("[C, 1, kH, kW]", channels, 1, _kernel[0], _kernel[1]);
        var bias = context.Input(2);
        var (height, width) = (Places(x.Shape.Dims[2], 0), Places(x.Shape.Dims[3], 1));
        var parameters = new Parameters
        {
            X = x.Data<T>(),
            Weight = weight.Data<T>(),
            Bias = bias.IsPresent ? bias.Expect("[C]", channels).Data<T>() : null,
            Y = context.Output<T>(0, batch, channels, height, width),
            Planes = batch * channels,
            Channels = (int)channels,
            Height = (int)x.Shape.Dims[2],
            Width = (int)x.Shape.Dims[3],
            OutputHeight = (int)height,
            OutputWidth = (int)width,
            KernelHeight = (int)_kernel[0],
            KernelWidth = (int)_kernel[1],
            StrideY = (int)_strides[0],
            StrideX = (int)_strides[1],
            DilationY = (int)_dilations[0],
            DilationX = (int)_dilations[1],
            PadTop = (int)_pads[0],
            PadLeft = (int)_pads[1],
        };
        if (parameters.Planes * height * width == 0)
            return;
        var isPlain = parameters is { StrideY: 1, StrideX: 1, DilationY: 1, DilationX: 1 };
        if (isPlain && PlaneTiling.For((int)height, (int)width, parameters.KernelHeight, parameters.KernelWidth, parameters.Planes) is { } tiling)
        {
            (parameters.RowsPerThread, parameters.PlanesPerBlock) = (tiling.RowsPerThread, tiling.PlanesPerBlock);
            var program = PlainPrograms.GetOrAdd((parameters.KernelHeight, parameters.KernelWidth), size => CudaProgram.For<T>(
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

    private long Places(long size, int axis) =>
        ((size + _pads[axis] + _pads[axis + 2] - ((_kernel[axis] - 1) * _dilations[axis]) - 1) / _strides[axis]) + 1;

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
        public int KernelHeight;
        public int KernelWidth;
        public int StrideY;
        public int StrideX;
        public int DilationY;
        public int DilationX;
        public int PadTop;
        public int PadLeft;
        public int RowsPerThread;
        public int PlanesPerBlock;
    }
}
