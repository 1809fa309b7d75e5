using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>GELU of rows plus a bias.</summary>
internal sealed unsafe class BiasGeluKernel<TVector, TSimd> : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const long ElementsTogether = 8192;

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var width = x.Shape.Dims[^1];
        var work = new Work
        {
            X = x.Data<float>(),
            Bias = context.Input(1).Expect("[C]", width).Data<float>(),
            Y = context.Output<float>(0, x.Shape.Dims),
            Rows = width == 0 ? 0 : x.Shape.ElementCount / width,
            Width = width,
            RowsTogether = Math.Max(1, ElementsTogether / Math.Max(width, 1)),
        };
        context.ParallelFor(work, (int)((work.Rows + work.RowsTogether - 1) / work.RowsTogether));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* X;
        public float* Bias;
        public float* Y;
        public long Rows;
        public long Width;
        public long RowsTogether;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var end = Math.Min(Rows, (index + 1) * RowsTogether);
            for (var row = index * RowsTogether; row < end; row++)
            {
                for (var column = 0L; column < Width; column += TSimd.Width)
                {
                    var (at, rest) = ((row * Width) + column, Width - column);
                    var sum = TSimd.Add(Lanes<TVector, TSimd>.Load(X + at, rest), Lanes<TVector, TSimd>.Load(Bias + column, rest));
                    Lanes<TVector, TSimd>.Store(Gelu<TVector, TSimd>.Of(sum), Y + at, rest);
                }
            }
        }
    }
}
