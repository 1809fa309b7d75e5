using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The gradient of layer normalisation: a row at a time, with the gradients of scale and bias summed up in a fixed number of parts, so
/// that the result does not depend on the number of threads.
/// </summary>
internal sealed unsafe class LayerNormalizationGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int MostParts = 32;

    private readonly long _axis = attributes.Int("axis");
    private readonly float _epsilon = attributes.Float("epsilon");

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var dims = x.Shape.Dims;
        var axis = (int)(_axis < 0 ? _axis + dims.Length : _axis);
        var scale = context.Input(2);
        var work = new Work
        {
            OutputGrad = context.Input(0).Expect("the shape of x", dims).Data<float>(),
            X = x.Data<float>(),
            Scale = scale.Data<float>(),
            XGrad = context.Output<float>(0, dims),
            Rows = TensorShape.CountOf(dims[..axis]),
            Length = TensorShape.CountOf(dims[axis..]),
            Epsilon = _epsilon,
        };
        if (scale.Shape.ElementCount != work.Length)
            throw new KernelException($"input 'scale' has shape {scale.Shape}, expected {work.Length} elements");
        work.Parts = (int)Math.Clamp(work.Rows, 1, MostParts);
        using var memory = context.Allocate(work.Parts * 2 * work.Length * sizeof(float));
        work.Sums = (float*)memory.Data;
        context.ParallelFor(work, work.Parts);
        work.AddUp(0, context.Output<float>(1, scale.Shape.Dims));
        work.AddUp(work.Length, context.Output<float>(2, scale.Shape.Dims));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* X;
        public float* Scale;
        public float* XGrad;

        /// <summary>[parts, 2, length]: the gradients of scale and bias.</summary>
        public float* Sums;
        public long Rows;
        public long Length;
        public int Parts;
        public float Epsilon;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var scaleGrad = Sums + (index * 2 * Length);
            new Span<float>(scaleGrad, (int)(2 * Length)).Clear();
            var end = Rows * (index + 1) / Parts;
            for (var row = Rows * index / Parts; row < end; row++)
                Row(row * Length, scaleGrad, scaleGrad + Length);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void AddUp(long offset, float* result)
        {
            if (result == null)
                return;
            for (long i = 0; i < Length; i += TSimd.Width)
            {
                var sum = default(TVector);
                for (var part = 0; part < Parts; part++)
                    sum = TSimd.Add(sum, Lanes<TVector, TSimd>.Load(Sums + (part * 2 * Length) + offset + i, Length - i));
                Lanes<TVector, TSimd>.Store(sum, result + i, Length - i);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row(long start, float* scaleGrad, float* biasGrad)
        {
            var x = X + start;
            var g = OutputGrad + start;
            var result = XGrad + start;
            var sum = default(TVector);
            for (long i = 0; i < Length; i += TSimd.Width)
                sum = TSimd.Add(sum, Lanes<TVector, TSimd>.Load(x + i, Length - i));
            var mean = TSimd.Broadcast(TSimd.Sum(sum) / Length);
            var squares = default(TVector);
            for (long i = 0; i < Length; i += TSimd.Width)
            {
                var centered = Lanes<TVector, TSimd>.First(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + i, Length - i), mean), Length - i);
                squares = TSimd.MultiplyAdd(centered, centered, squares);
            }
            var inverse = TSimd.Broadcast(1 / MathF.Sqrt((TSimd.Sum(squares) / Length) + Epsilon));

            var (scaledSum, productSum) = (default(TVector), default(TVector));
            for (long i = 0; i < Length; i += TSimd.Width)
            {
                var rest = Length - i;
                var gradient = Lanes<TVector, TSimd>.Load(g + i, rest);
                var scaled = TSimd.Multiply(gradient, Lanes<TVector, TSimd>.Load(Scale + i, rest));
                var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + i, rest), mean), inverse);
                scaledSum = TSimd.Add(scaledSum, scaled);
                productSum = TSimd.MultiplyAdd(scaled, normalized, productSum);
                var scaleSum = TSimd.MultiplyAdd(gradient, normalized, Lanes<TVector, TSimd>.Load(scaleGrad + i, rest));
                Lanes<TVector, TSimd>.Store(scaleSum, scaleGrad + i, rest);
                Lanes<TVector, TSimd>.Store(TSimd.Add(gradient, Lanes<TVector, TSimd>.Load(biasGrad + i, rest)), biasGrad + i, rest);
            }
            var scaledMean = TSimd.Broadcast(TSimd.Sum(scaledSum) / Length);
            var productMean = TSimd.Broadcast(TSimd.Sum(productSum) / Length);
            for (long i = 0; i < Length; i += TSimd.Width)
            {
                var rest = Length - i;
                var scaled = TSimd.Multiply(Lanes<TVector, TSimd>.Load(g + i, rest), Lanes<TVector, TSimd>.Load(Scale + i, rest));
                var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + i, rest), mean), inverse);
                var gradient = TSimd.Subtract(TSimd.Subtract(scaled, scaledMean), TSimd.Multiply(normalized, productMean));
                Lanes<TVector, TSimd>.Store(TSimd.Multiply(gradient, inverse), result + i, rest);
            }
        }
    }
}
