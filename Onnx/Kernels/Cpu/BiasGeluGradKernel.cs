using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of GELU of rows plus a bias. The bias's gradient is summed up in a fixed number of parts, so that the result does not
/// depend on the number of threads.
/// </summary>
internal sealed unsafe class BiasGeluGradKernel<TVector, TSimd> : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int MostParts = 32;

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var width = x.Shape.Dims[^1];
        var work = new Work
        {
            OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<float>(),
            X = x.Data<float>(),
            Bias = context.Input(2).Expect("[C]", width).Data<float>(),
            XGrad = context.Output<float>(0, x.Shape.Dims),
            Rows = width == 0 ? 0 : x.Shape.ElementCount / width,
            Width = width,
        };
        work.Parts = (int)Math.Clamp(work.Rows, 1, MostParts);
        using var memory = context.Allocate(work.Parts * width * sizeof(float));
        work.Sums = (float*)memory.Data;
        context.ParallelFor(work, work.Parts);
        var biasGrad = context.Output<float>(1, width);
        if (biasGrad != null)
            work.AddUp(biasGrad);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* X;
        public float* Bias;
        public float* XGrad;

        /// <summary>[parts, width]: the gradient of the bias.</summary>
        public float* Sums;
        public long Rows;
        public long Width;
        public int Parts;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var sums = Sums + (index * Width);
            new Span<float>(sums, (int)Width).Clear();
            var end = Rows * (index + 1) / Parts;
            for (var row = Rows * index / Parts; row < end; row++)
            {
                for (var column = 0L; column < Width; column += TSimd.Width)
                {
                    var (at, rest) = ((row * Width) + column, Width - column);
                    var sum = TSimd.Add(Lanes<TVector, TSimd>.Load(X + at, rest), Lanes<TVector, TSimd>.Load(Bias + column, rest));
                    var gradient = TSimd.Multiply(Lanes<TVector, TSimd>.Load(OutputGrad + at, rest), Gelu<TVector, TSimd>.Slope(sum));
                    Lanes<TVector, TSimd>.Store(gradient, XGrad + at, rest);
                    Lanes<TVector, TSimd>.Store(TSimd.Add(gradient, Lanes<TVector, TSimd>.Load(sums + column, rest)), sums + column, rest);
                }
            }
        }

        public readonly void AddUp(float* result)
        {
            for (var column = 0L; column < Width; column += TSimd.Width)
            {
                var sum = default(TVector);
                for (var part = 0; part < Parts; part++)
                    sum = TSimd.Add(sum, Lanes<TVector, TSimd>.Load(Sums + (part * Width) + column, Width - column));
                Lanes<TVector, TSimd>.Store(sum, result + column, Width - column);
            }
        }
    }
}
