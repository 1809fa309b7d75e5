using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>A step of AdamW in one pass over the weights.</summary>
internal sealed unsafe class AdamWStepKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const int ElementsTogether = 16384;

    private readonly float _beta1 = attributes.Float("beta1");
    private readonly float _beta2 = attributes.Float("beta2");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly float _weightDecay = attributes.Float("weight_decay");
    private readonly float _learningRateScale = attributes.Float("learning_rate_scale");

    public void Compute(KernelContext context)
    {
        var count = context.Input(0).Expect("[P]", -1).Shape.Dims[0];
        var step = context.Input(5).Expect("[3]", 3).Data<float>();
        var rate = step[0] * _learningRateScale;
        var work = new Work
        {
            Weights = context.Input(0).Data<float>(),
            Gradient = context.Input(1).Expect("[P]", count).Data<float>(),
            FirstMoment = context.Input(2).Expect("[P]", count).Data<float>(),
            SecondMoment = context.Input(3).Expect("[P]", count).Data<float>(),
            NewWeights = context.Output<float>(0, count),
            NewFirstMoment = context.Output<float>(1, count),
            NewSecondMoment = context.Output<float>(2, count),
            Count = count,
            GradientScale = *context.Input(4).Data<float>(),
            Beta1 = _beta1,
            Beta2 = _beta2,
            Epsilon = _epsilon,
            Keep = 1 - (rate * _weightDecay),
            Rate = rate / step[1],
            SecondCorrection = 1 / step[2],
        };
        context.ParallelFor(work, (int)((count + ElementsTogether - 1) / ElementsTogether));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* Weights;
        public float* Gradient;
        public float* FirstMoment;
        public float* SecondMoment;
        public float* NewWeights;
        public float* NewFirstMoment;
        public float* NewSecondMoment;
        public long Count;
        public float GradientScale;
        public float Beta1;
        public float Beta2;
        public float Epsilon;
        public float Keep;
        public float Rate;
        public float SecondCorrection;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int index)
        {
            var end = Math.Min(Count, (index + 1L) * ElementsTogether);
            if (float.IsNaN(GradientScale))
            {
                Skip((long)index * ElementsTogether, end);
                return;
            }
            for (var i = (long)index * ElementsTogether; i < end; i += TSimd.Width)
            {
                var rest = end - i;
                var g = TSimd.Multiply(Lanes<TVector, TSimd>.Load(Gradient + i, rest), TSimd.Broadcast(GradientScale));
                var first = TSimd.MultiplyAdd(
                    g,
                    TSimd.Broadcast(1 - Beta1),
                    TSimd.Multiply(Lanes<TVector, TSimd>.Load(FirstMoment + i, rest), TSimd.Broadcast(Beta1)));
                var second = TSimd.MultiplyAdd(
                    TSimd.Multiply(g, g),
                    TSimd.Broadcast(1 - Beta2),
                    TSimd.Multiply(Lanes<TVector, TSimd>.Load(SecondMoment + i, rest), TSimd.Broadcast(Beta2)));
                var deviation = TSimd.SquareRoot(TSimd.Multiply(second, TSimd.Broadcast(SecondCorrection)));
                var denominator = TSimd.Add(deviation, TSimd.Broadcast(Epsilon));
                var weights = TSimd.Multiply(Lanes<TVector, TSimd>.Load(Weights + i, rest), TSimd.Broadcast(Keep));
                weights = TSimd.Subtract(weights, TSimd.Divide(TSimd.Multiply(first, TSimd.Broadcast(Rate)), denominator));
                Lanes<TVector, TSimd>.Store(weights, NewWeights + i, rest);
                Lanes<TVector, TSimd>.Store(first, NewFirstMoment + i, rest);
                Lanes<TVector, TSimd>.Store(second, NewSecondMoment + i, rest);
            }
        }

        private readonly void Skip(long start, long end)
        {
            var count = (int)(end - start);
            new Span<float>(Weights + start, count).CopyTo(new(NewWeights + start, count));
            new Span<float>(FirstMoment + start, count).CopyTo(new(NewFirstMoment + start, count));
            new Span<float>(SecondMoment + start, count).CopyTo(new(NewSecondMoment + start, count));
        }
    }
}
