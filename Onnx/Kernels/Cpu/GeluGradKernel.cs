using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of GELU: the cumulative distribution plus x times the density. Both take the same exponential, by formula 7.1.26 of
/// Abramowitz and Stegun for the error function (exact to 1.5e-7).
/// </summary>
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
                var slope = Slope(Lanes<TVector, TSimd>.Load(X + i, end - i));
                Lanes<TVector, TSimd>.Store(TSimd.Multiply(Lanes<TVector, TSimd>.Load(OutputGrad + i, end - i), slope), XGrad + i, end - i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static TVector Slope(TVector x)
        {
            var magnitude = TSimd.CopySign(x, TSimd.Broadcast(1));
            var one = TSimd.Broadcast(1);
            var t = TSimd.Divide(one, TSimd.MultiplyAdd(magnitude, TSimd.Broadcast(0.3275911f * 0.70710678f), one));
            var p = TSimd.Broadcast(1.061405429f);
            p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(-1.453152027f));
            p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(1.421413741f));
            p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(-0.284496736f));
            p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(0.254829592f));
            var exponential = TSimd.Exp(TSimd.Multiply(TSimd.Multiply(x, x), TSimd.Broadcast(-0.5f)));
            // Half of erf(|x| / sqrt 2), then with the sign of x.
            var half = TSimd.MultiplyAdd(TSimd.Multiply(p, t), TSimd.Multiply(exponential, TSimd.Broadcast(-0.5f)), TSimd.Broadcast(0.5f));
            var cumulative = TSimd.Add(TSimd.CopySign(half, x), TSimd.Broadcast(0.5f));
            return TSimd.MultiplyAdd(TSimd.Multiply(x, exponential), TSimd.Broadcast(0.398942280f), cumulative);
        }
    }
}
