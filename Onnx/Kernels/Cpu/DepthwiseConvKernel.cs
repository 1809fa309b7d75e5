using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Convolution of each channel on its own: a plane is laid out with its padding, so that all outputs are sums of shifted runs of memory.
/// </summary>
internal sealed unsafe class DepthwiseConvKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly long[] _kernel = attributes.Ints("kernel_shape");
    private readonly long[] _strides = attributes.Ints("strides");
    private readonly long[] _dilations = attributes.Ints("dilations");
    private readonly long[] _pads = attributes.Ints("pads");

    public void Compute(KernelContext context)
    {
        var x = context.Input(0).Expect("[N, C, H, W]", -1, -1, -1, -1);
        var weight = context.Input(1).Expect("[C, 1, kH, kW]", x.Shape.Dims[1], 1, _kernel[0], _kernel[1]);
        var bias = context.Input(2);
        var work = new Work
        {
            X = x.Data<float>(),
            Weight = weight.Data<float>(),
            Bias = bias.IsPresent ? bias.Expect("[C]", x.Shape.Dims[1]).Data<float>() : null,
            Channels = x.Shape[1],
            Height = x.Shape[2],
            Width = x.Shape[3],
            PaddedHeight = x.Shape[2] + (int)(_pads[0] + _pads[2]),
            Pitch = x.Shape[3] + (int)(_pads[1] + _pads[3]),
            Top = (int)_pads[0],
            Left = (int)_pads[1],
            KernelHeight = (int)_kernel[0],
            KernelWidth = (int)_kernel[1],
            StrideY = (int)_strides[0],
            StrideX = (int)_strides[1],
            DilationY = (int)_dilations[0],
            DilationX = (int)_dilations[1],
        };
        work.Rows = work.PaddedHeight - ((work.KernelHeight - 1) * work.DilationY);
        work.Columns = work.Pitch - ((work.KernelWidth - 1) * work.DilationX);
        if (work.Rows < 1 || work.Columns < 1)
            throw new KernelException($"a kernel of {_kernel[0]} x {_kernel[1]} does not fit into the padded input {x.Shape}");
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
        public int PaddedHeight;

        /// <summary>The width with padding.</summary>
        public int Pitch;
        public int Top;
        public int Left;
        public int KernelHeight;
        public int KernelWidth;
        public int StrideY;
        public int StrideX;
        public int DilationY;
        public int DilationX;

        /// <summary>The number of places along each axis if all are computed, whatever the strides.</summary>
        public int Rows;
        public int Columns;

        public readonly int OutputHeight => ((Rows - 1) / StrideY) + 1;

        public readonly int OutputWidth => ((Columns - 1) / StrideX) + 1;

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
            for (var row = 0; row < Height; row++)
                new ReadOnlySpan<float>(source + (row * Width), Width).CopyTo(new Span<float>(plane + ((row + Top) * Pitch) + Left, Width));

            var channel = index % Channels;
            for (var i = 0; i < rounded; i += block)
                Sum(plane + i, channel, sums + i);

            var target = Y + ((long)index * OutputHeight * OutputWidth);
            for (var row = 0; row < OutputHeight; row++, target += OutputWidth)
            {
                var from = sums + (row * StrideY * Pitch);
                if (StrideX == 1)
                {
                    new ReadOnlySpan<float>(from, OutputWidth).CopyTo(new Span<float>(target, OutputWidth));
                    continue;
                }
                for (var column = 0; column < OutputWidth; column++)
                    target[column] = from[column * StrideX];
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Sum(float* x, int channel, float* sums)
        {
            var a = Bias == null ? default : TSimd.Broadcast(Bias[channel]);
            var (b, c, d) = (a, a, a);
            var weight = Weight + (channel * KernelHeight * KernelWidth);
            for (var row = 0; row < KernelHeight; row++)
            {
                var start = x + (row * DilationY * Pitch);
                for (var column = 0; column < KernelWidth; column++, weight++, start += DilationX)
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
