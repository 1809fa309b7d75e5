using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>The gradient of softmax along any axis; positions behind the axis are worked on a vector at a time.</summary>
internal sealed unsafe class SoftmaxGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int ElementsTogether = 8192;

    private readonly long _axis = attributes.Int("axis", -1);

    public void Compute(KernelContext context)
    {
        var y = context.Input(1);
        var dims = y.Shape.Dims;
        var axis = (int)(_axis < 0 ? _axis + dims.Length : _axis);
        var work = new Work
        {
            OutputGrad = context.Input(0).Expect("the shape of y", dims).Data<float>(),
            Y = y.Data<float>(),
            XGrad = context.Output<float>(0, dims),
            Length = dims[axis],
            Inner = TensorShape.CountOf(dims[(axis + 1)..]),
            Outer = TensorShape.CountOf(dims[..axis]),
        };
        work.Together = Math.Max(1, ElementsTogether / Math.Max(1, work.Length * work.Inner));
        context.ParallelFor(work, (int)((work.Outer + work.Together - 1) / work.Together));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* Y;
        public float* XGrad;
        public long Outer;
        public long Length;
        public long Inner;
        public long Together;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var end = Math.Min(Outer, (index + 1L) * Together);
            for (var outer = index * Together; outer < end; outer++)
            {
                if (Inner == 1)
                    Row(outer * Length);
                else
                    Columns(outer * Length * Inner);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row(long start)
        {
            var g = OutputGrad + start;
            var y = Y + start;
            var sum = default(TVector);
            for (long i = 0; i < Length; i += TSimd.Width)
                sum = TSimd.MultiplyAdd(Lanes<TVector, TSimd>.Load(g + i, Length - i), Lanes<TVector, TSimd>.Load(y + i, Length - i), sum);
            var total = TSimd.Broadcast(TSimd.Sum(sum));
            for (long i = 0; i < Length; i += TSimd.Width)
                Store(start + i, Length - i, total);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Columns(long start)
        {
            for (long column = 0; column < Inner; column += TSimd.Width)
            {
                var (first, rest) = (start + column, Inner - column);
                var total = default(TVector);
                for (long i = 0; i < Length; i++)
                {
                    var g = Lanes<TVector, TSimd>.Load(OutputGrad + first + (i * Inner), rest);
                    total = TSimd.MultiplyAdd(g, Lanes<TVector, TSimd>.Load(Y + first + (i * Inner), rest), total);
                }
                for (long i = 0; i < Length; i++)
                    Store(first + (i * Inner), rest, total);
            }
        }

        private readonly void Store(long at, long count, TVector total)
        {
            var difference = TSimd.Subtract(Lanes<TVector, TSimd>.Load(OutputGrad + at, count), total);
            Lanes<TVector, TSimd>.Store(TSimd.Multiply(difference, Lanes<TVector, TSimd>.Load(Y + at, count)), XGrad + at, count);
        }
    }
}
