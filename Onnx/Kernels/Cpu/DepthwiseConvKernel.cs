using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Convolution of each channel on its own: a plane is laid out with its padding, so that all outputs are sums of shifted runs of memory.
/// </summary>
internal sealed unsafe class DepthwiseConvKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly ConvolutionWindow _window = new(attributes);

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, C, H, W]", -1, -1, -1, -1);
        var weight = context.Input(1).Expect("[C, 1, kH, kW]", x.Shape.Dims[1], 1, _window.KernelHeight, _window.KernelWidth);
        var bias = context.Input(2);
        var work = new Work
        {
            X = x.Data<float>(),
            Weight = weight.Data<float>(),
            Bias = bias.IsPresent ? bias.Expect("[C]", x.Shape.Dims[1]).Data<float>() : null,
            Channels = x.Shape[1],
            Height = x.Shape[2],
            Width = x.Shape[3],
            Window = _window,
        };
        if (work.Rows < 1 || work.Columns < 1)
        {
            throw new KernelException(
                $"a kernel of {_window.KernelHeight} x {_window.KernelWidth} does not fit into the padded input {x.Shape}");
        }
        work.Y = context.Output<float>(0, x.Shape.Dims[0], work.Channels, work.OutputHeight, work.OutputWidth);
        context.ParallelFor(work, x.Shape[0] * work.Channels);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        private const int VectorsTogether = 4;

        public float* X;
        public float* Weight;
        public float* Bias;
        public float* Y;
        public int Channels;
        public int Height;
        public int Width;
        public ConvolutionWindow Window;

        public readonly int Rows => Window.Rows(Height);

        public readonly int Columns => Window.Columns(Width);

        public readonly int OutputHeight => Window.OutputHeight(Height);

        public readonly int OutputWidth => Window.OutputWidth(Width);

        private readonly int PaddedHeight => Height + Window.PadTop + Window.PadBottom;

        /// <summary>The width with padding.</summary>
        private readonly int Pitch => Width + Window.PadLeft + Window.PadRight;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var block = VectorsTogether * TSimd.Width;
            var length = ((Rows - 1) * Pitch) + Columns;
            var rounded = (length + block - 1) / block * block;
            // The last block reads beyond the plane; what it computes there is dropped.
            var planeSize = (PaddedHeight * Pitch) + block;
            var plane = (float*)ThreadScratch.Get(((long)planeSize + rounded) * sizeof(float));
            var sums = plane + planeSize;
            new Span<float>(plane, planeSize).Clear();
            var source = X + ((long)index * Height * Width);
            var inside = plane + (Window.PadTop * Pitch) + Window.PadLeft;
            for (var row = 0; row < Height; row++)
                new ReadOnlySpan<float>(source + (row * Width), Width).CopyTo(new Span<float>(inside + (row * Pitch), Width));

            var channel = index % Channels;
            for (var i = 0; i < rounded; i += block)
                Sum(plane + i, channel, sums + i);

            var target = Y + ((long)index * OutputHeight * OutputWidth);
            for (var row = 0; row < OutputHeight; row++, target += OutputWidth)
            {
                var from = sums + (row * Window.StrideY * Pitch);
                if (Window.StrideX == 1)
                {
                    new ReadOnlySpan<float>(from, OutputWidth).CopyTo(new Span<float>(target, OutputWidth));
                    continue;
                }
                for (var column = 0; column < OutputWidth; column++)
                    target[column] = from[column * Window.StrideX];
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Sum(float* x, int channel, float* sums)
        {
            var a = Bias == null ? default : TSimd.Broadcast(Bias[channel]);
            var (b, c, d) = (a, a, a);
            var weight = Weight + (channel * Window.KernelHeight * Window.KernelWidth);
            for (var row = 0; row < Window.KernelHeight; row++)
            {
                var start = x + (row * Window.DilationY * Pitch);
                for (var column = 0; column < Window.KernelWidth; column++, weight++, start += Window.DilationX)
                {
                    var factor = TSimd.Broadcast(*weight);
                    a = TSimd.MultiplyAdd(factor, TSimd.Load(start), a);
                    b = TSimd.MultiplyAdd(factor, TSimd.Load(start + TSimd.Width), b);
                    c = TSimd.MultiplyAdd(factor, TSimd.Load(start + (2 * TSimd.Width)), c);
                    d = TSimd.MultiplyAdd(factor, TSimd.Load(start + (3 * TSimd.Width)), d);
                }
            }
            TSimd.Store(a, sums);
            TSimd.Store(b, sums + TSimd.Width);
            TSimd.Store(c, sums + (2 * TSimd.Width));
            TSimd.Store(d, sums + (3 * TSimd.Width));
        }
    }
}
