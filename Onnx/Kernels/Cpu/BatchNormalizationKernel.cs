using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Batch normalisation by the statistics of the batch, forward or backward: a channel at a time.</summary>
internal sealed unsafe class BatchNormalizationKernel<TVector, TSimd> : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly bool _backward;
    private readonly float _epsilon;
    private readonly float _momentum;

    private BatchNormalizationKernel(KernelAttributes attributes, bool backward)
    {
        _backward = backward;
        _epsilon = attributes.Float("epsilon");
        _momentum = backward ? 0 : attributes.Float("momentum");
    }

    public static IKernel Forward(KernelAttributes attributes) => new BatchNormalizationKernel<TVector, TSimd>(attributes, backward: false);

    public static IKernel Backward(KernelAttributes attributes) => new BatchNormalizationKernel<TVector, TSimd>(attributes, backward: true);

    public void Compute(KernelContext context)
    {
        var x = context.Input(_backward ? 1 : 0);
        if (x.Shape.Rank < 2)
            throw new KernelException($"input 'x' has shape {x.Shape}, expected [N, C, ...]");
        var channels = x.Shape[1];
        var call = new Call
        {
            X = x.Data<float>(),
            Scale = context.Input(_backward ? 2 : 1).Expect("[C]", channels).Data<float>(),
            Result = context.Output<float>(0, x.Shape.Dims),
            First = context.Output<float>(1, channels),
            Second = context.Output<float>(2, channels),
            Batch = x.Shape.Dims[0],
            Channels = channels,
            Positions = TensorShape.CountOf(x.Shape.Dims[2..]),
            Epsilon = _epsilon,
            Momentum = _momentum,
        };
        if (_backward)
        {
            call.OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<float>();
            context.ParallelFor(new BackwardWork(call), channels);
        }
        else
        {
            call.Bias = context.Input(2).Expect("[C]", channels).Data<float>();
            call.RunningMean = context.Input(3).Expect("[C]", channels).Data<float>();
            call.RunningVariance = context.Input(4).Expect("[C]", channels).Data<float>();
            context.ParallelFor(new ForwardWork(call), channels);
        }
    }

    public void Dispose()
    {
    }

    private struct Call
    {
        public float* OutputGrad;
        public float* X;
        public float* Scale;
        public float* Bias;
        public float* RunningMean;
        public float* RunningVariance;
        public float* Result;
        public float* First;
        public float* Second;
        public long Batch;
        public long Channels;
        public long Positions;
        public float Epsilon;
        public float Momentum;

        public readonly long Count => Batch * Positions;

        /// <summary>Where the plane of an image and a channel begins.</summary>
        public readonly long Plane(long image, int channel) => ((image * Channels) + channel) * Positions;

        /// <summary>The mean, and the sum of squared differences from it.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly (double Mean, double Squares) Statistics(int channel)
        {
            var sum = 0.0;
            for (long image = 0; image < Batch; image++)
            {
                var plane = X + Plane(image, channel);
                var part = default(TVector);
                for (long i = 0; i < Positions; i += TSimd.Width)
                    part = TSimd.Add(part, Lanes<TVector, TSimd>.Load(plane + i, Positions - i));
                sum += TSimd.Sum(part);
            }
            var mean = sum / Count;
            var (center, squares) = (TSimd.Broadcast((float)mean), 0.0);
            for (long image = 0; image < Batch; image++)
            {
                var plane = X + Plane(image, channel);
                var part = default(TVector);
                for (long i = 0; i < Positions; i += TSimd.Width)
                {
                    var centered = TSimd.Subtract(Lanes<TVector, TSimd>.Load(plane + i, Positions - i), center);
                    centered = Lanes<TVector, TSimd>.First(centered, Positions - i);
                    part = TSimd.MultiplyAdd(centered, centered, part);
                }
                squares += TSimd.Sum(part);
            }
            return (mean, squares);
        }
    }

    private struct ForwardWork(in Call call) : IParallelWork
    {
        private Call _call = call;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int channel)
        {
            var (mean, squares) = _call.Statistics(channel);
            var factor = (float)(_call.Scale[channel] / Math.Sqrt((squares / _call.Count) + _call.Epsilon));
            var (scale, shift) = (TSimd.Broadcast(factor), TSimd.Broadcast(_call.Bias[channel]));
            var center = TSimd.Broadcast((float)mean);
            for (long image = 0; image < _call.Batch; image++)
            {
                var start = _call.Plane(image, channel);
                for (long i = 0; i < _call.Positions; i += TSimd.Width)
                {
                    var centered = TSimd.Subtract(Lanes<TVector, TSimd>.Load(_call.X + start + i, _call.Positions - i), center);
                    Lanes<TVector, TSimd>.Store(TSimd.MultiplyAdd(centered, scale, shift), _call.Result + start + i, _call.Positions - i);
                }
            }
            if (_call.First != null)
                _call.First[channel] = Move(_call.RunningMean[channel], mean);
            if (_call.Second != null)
                _call.Second[channel] = Move(_call.RunningVariance[channel], squares / Math.Max(1, _call.Count - 1));
        }

        private readonly float Move(float from, double to) => (float)(from + (_call.Momentum * (to - from)));
    }

    private struct BackwardWork(in Call call) : IParallelWork
    {
        private Call _call = call;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int channel)
        {
            var (mean, squares) = _call.Statistics(channel);
            var inverse = 1 / Math.Sqrt((squares / _call.Count) + _call.Epsilon);
            var center = TSimd.Broadcast((float)mean);
            var (sum, products) = (0.0, 0.0);
            for (long image = 0; image < _call.Batch; image++)
            {
                var (start, part, product) = (_call.Plane(image, channel), default(TVector), default(TVector));
                for (long i = 0; i < _call.Positions; i += TSimd.Width)
                {
                    var g = Lanes<TVector, TSimd>.Load(_call.OutputGrad + start + i, _call.Positions - i);
                    part = TSimd.Add(part, g);
                    var centered = TSimd.Subtract(Lanes<TVector, TSimd>.Load(_call.X + start + i, _call.Positions - i), center);
                    product = TSimd.MultiplyAdd(g, centered, product);
                }
                sum += TSimd.Sum(part);
                products += TSimd.Sum(product);
            }
            var scaleGrad = products * inverse;
            var factor = TSimd.Broadcast((float)(_call.Scale[channel] * inverse));
            var meanGrad = TSimd.Broadcast((float)(sum / _call.Count));
            var slope = TSimd.Broadcast((float)(scaleGrad * inverse / _call.Count));
            for (long image = 0; image < _call.Batch; image++)
            {
                var start = _call.Plane(image, channel);
                for (long i = 0; i < _call.Positions; i += TSimd.Width)
                {
                    var rest = _call.Positions - i;
                    var centered = TSimd.Subtract(Lanes<TVector, TSimd>.Load(_call.X + start + i, rest), center);
                    var g = TSimd.Subtract(Lanes<TVector, TSimd>.Load(_call.OutputGrad + start + i, rest), meanGrad);
                    var gradient = TSimd.Multiply(TSimd.Subtract(g, TSimd.Multiply(centered, slope)), factor);
                    Lanes<TVector, TSimd>.Store(gradient, _call.Result + start + i, rest);
                }
            }
            if (_call.First != null)
                _call.First[channel] = (float)scaleGrad;
            if (_call.Second != null)
                _call.Second[channel] = (float)sum;
        }
    }
}
