using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>The gradient of GELU in one pass over the elements.</summary>
internal sealed unsafe class GeluGradKernel<TVector, TSimd> : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int ElementsTogether = 8192;

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var count = x.Shape.ElementCount;
        var g = context.Input(0).Expect("the shape of x", x.Shape.Dims);
        var work = new Work
        {
            OutputGrad = g.Data<float>(),
            X = x.Data<float>(),
            XGrad = context.Output<float>(0, x.Shape.Dims),
            Count = count,
        };
        context.ParallelFor(work, (int)((count + ElementsTogether - 1) / ElementsTogether));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* X;
        public float* XGrad;
        public long Count;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var end = Math.Min(Count, (index + 1L) * ElementsTogether);
            for (var i = (long)index * ElementsTogether; i < end; i += TSimd.Width)
            {
                var slope = Gelu<TVector, TSimd>.Slope(Lanes<TVector, TSimd>.Load(X + i, end - i));
                Lanes<TVector, TSimd>.Store(TSimd.Multiply(Lanes<TVector, TSimd>.Load(OutputGrad + i, end - i), slope), XGrad + i, end - i);
            }
        }
    }
}
