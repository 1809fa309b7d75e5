using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of a grouped convolution's weights. Planes are laid out with their padding, the gradient's with zeros of the same
/// pitch, so that each weight's gradient is a dot product of two runs of memory.
/// </summary>
internal sealed unsafe class GroupedConvWeightGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly ConvolutionWindow _window = new(attributes);
    private readonly int _group = attributes.PositiveInt("group");

    public void Compute(KernelContext context)
    {
        var g = context.Input(0).Expect("[N, M, Ho, Wo]", -1, -1, -1, -1);
        var x = context.Input(1).Expect("[N, C, H, W]", g.Shape.Dims[0], -1, -1, -1);
        var work = new Work
        {
            OutputGrad = g.Data<float>(),
            X = x.Data<float>(),
            Batch = g.Shape[0],
            Outputs = g.Shape[1],
            OutputHeight = g.Shape[2],
            OutputWidth = g.Shape[3],
            Channels = x.Shape[1],
            Height = x.Shape[2],
            Width = x.Shape[3],
            Window = _window,
            PerGroup = x.Shape[1] / _group,
            OutputsPerGroup = g.Shape[1] / _group,
        };
        work.WeightGrad = context.Output<float>(0, work.Outputs, work.PerGroup, _window.KernelHeight, _window.KernelWidth);
        context.ParallelFor(work, work.Outputs * work.PerGroup);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* X;
        public float* WeightGrad;
        public int Batch;
        public int Outputs;
        public int OutputHeight;
        public int OutputWidth;
        public int Channels;
        public int Height;
        public int Width;
        public ConvolutionWindow Window;
        public int PerGroup;
        public int OutputsPerGroup;

        // The places of the gradient are a stride apart in the padded plane.
        private readonly int SpreadHeight => ((OutputHeight - 1) * Window.StrideY) + 1;

        private readonly int SpreadWidth => ((OutputWidth - 1) * Window.StrideX) + 1;

        private readonly int PaddedHeight =>
            Math.Max(Height + Window.PadTop, SpreadHeight + ((Window.KernelHeight - 1) * Window.DilationY));

        private readonly int Pitch => Math.Max(Width + Window.PadLeft, SpreadWidth + ((Window.KernelWidth - 1) * Window.DilationX));

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var (output, inGroup) = (index / PerGroup, index % PerGroup);
            var channel = (output / OutputsPerGroup * PerGroup) + inGroup;
            var (pitch, taps) = (Pitch, Window.KernelHeight * Window.KernelWidth);
            var length = ((SpreadHeight - 1) * pitch) + SpreadWidth;
            var rounded = (length + TSimd.Width - 1) / TSimd.Width * TSimd.Width;
            // Reading a vector too far meets zeros of the gradient; the plane must be memory there, too.
            var planeSize = (PaddedHeight * pitch) + TSimd.Width;
            var plane = (float*)ThreadScratch.Get(((long)planeSize + rounded + taps) * sizeof(float));
            var gradient = plane + planeSize;
            var sums = gradient + rounded;
            new Span<float>(plane, planeSize + rounded + taps).Clear();
            for (var image = 0; image < Batch; image++)
            {
                var inputs = X + ((((long)image * Channels) + channel) * Height * Width);
                Copy(inputs, Height, Width, plane + (Window.PadTop * pitch) + Window.PadLeft, pitch, 1);
                var outputs = OutputGrad + ((((long)image * Outputs) + output) * OutputHeight * OutputWidth);
                Copy(outputs, OutputHeight, OutputWidth, gradient, Window.StrideY * pitch, Window.StrideX);
                for (var row = 0; row < Window.KernelHeight; row++)
                {
                    var start = plane + (row * Window.DilationY * pitch);
                    var column = 0;
                    for (; column + 3 <= Window.KernelWidth; column += 3)
                        AddProducts(gradient, start + (column * Window.DilationX), rounded, sums + (row * Window.KernelWidth) + column);
                    for (; column < Window.KernelWidth; column++)
                        sums[(row * Window.KernelWidth) + column] += Product(gradient, start + (column * Window.DilationX), rounded);
                }
            }
            new ReadOnlySpan<float>(sums, taps).CopyTo(new Span<float>(WeightGrad + ((long)index * taps), taps));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Copy(float* source, int rows, int columns, float* destination, int pitch, int step)
        {
            for (var row = 0; row < rows; row++, source += columns, destination += pitch)
            {
                if (step == 1)
                {
                    new ReadOnlySpan<float>(source, columns).CopyTo(new Span<float>(destination, columns));
                    continue;
                }
                for (var column = 0; column < columns; column++)
                    destination[column * step] = source[column];
            }
        }

        // Three neighbouring weights at once: each gradient is loaded once.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void AddProducts(float* gradient, float* x, int count, float* sums)
        {
            var (a, b, c) = (default(TVector), default(TVector), default(TVector));
            for (var i = 0; i < count; i += TSimd.Width)
            {
                var g = TSimd.Load(gradient + i);
                a = TSimd.MultiplyAdd(g, TSimd.Load(x + i), a);
                b = TSimd.MultiplyAdd(g, TSimd.Load(x + i + Window.DilationX), b);
                c = TSimd.MultiplyAdd(g, TSimd.Load(x + i + (2 * Window.DilationX)), c);
            }
            sums[0] += TSimd.Sum(a);
            sums[1] += TSimd.Sum(b);
            sums[2] += TSimd.Sum(c);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Product(float* gradient, float* x, int count)
        {
            var sum = default(TVector);
            for (var i = 0; i < count; i += TSimd.Width)
                sum = TSimd.MultiplyAdd(TSimd.Load(gradient + i), TSimd.Load(x + i), sum);
            return TSimd.Sum(sum);
        }
    }
}
