using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>The gradient of group normalisation on the CPU: a group at a time, then sums over the examples.</summary>
internal sealed unsafe class GroupNormGradKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly int _groups = attributes.PositiveInt("num_groups");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly bool _silu = attributes.Int("silu") != 0;

    public void Compute(KernelContext context)
    {
        var x = context.Input(1);
        var sizes = GroupNormSizes.Of(x, _groups);
        using var memory = context.Allocate(sizes.Batch * 2 * sizes.Channels * sizeof(float));
        var work = new Work
        {
            OutputGrad = context.Input(0).Expect("the shape of x", x.Shape.Dims).Data<float>(),
            X = x.Data<float>(),
            Scale = context.Input(2).Expect("[C]", sizes.Channels).Data<float>(),
            Bias = context.Input(3).Expect("[C]", sizes.Channels).Data<float>(),
            XGrad = context.Output<float>(0, x.Shape.Dims),
            Sums = (float*)memory.Data,
            Sizes = sizes,
            Epsilon = _epsilon,
            Silu = _silu,
        };
        context.ParallelFor(work, sizes.AllGroups);
        work.AddUp(0, context.Output<float>(1, sizes.Channels));
        work.AddUp(sizes.Channels, context.Output<float>(2, sizes.Channels));
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* OutputGrad;
        public float* X;
        public float* Scale;
        public float* Bias;
        public float* XGrad;

        /// <summary>[N, 2, C]: the gradients of scale and bias that come from each example.</summary>
        public float* Sums;
        public GroupNormSizes Sizes;
        public float Epsilon;
        public bool Silu;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int group)
        {
            var (channels, positions) = (Sizes.GroupChannels, Sizes.Positions);
            var start = group * Sizes.GroupLength;
            var (mean, inverse) = GroupNormMath<TVector, TSimd>.Statistics(X + start, channels, positions, Epsilon);
            var firstChannel = group % Sizes.Groups * channels;
            var sums = Sums + (group / Sizes.Groups * 2 * Sizes.Channels) + firstChannel;
            var (scaledSum, productSum) = (0.0, 0.0);
            for (var channel = 0; channel < channels; channel++)
            {
                var scale = Scale[firstChannel + channel];
                var (product, sum) = ThroughActivation(start + (channel * positions), mean, inverse, scale, Bias[firstChannel + channel]);
                (sums[channel], sums[Sizes.Channels + channel]) = (product, sum);
                scaledSum += scale * sum;
                productSum += scale * product;
            }
            var (scaledMean, productMean) = ((float)(scaledSum / Sizes.GroupLength), (float)(productSum / Sizes.GroupLength));
            for (var channel = 0; channel < channels; channel++)
                ThroughNormalization(start + (channel * positions), mean, inverse, Scale[firstChannel + channel], scaledMean, productMean);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void AddUp(long offset, float* result)
        {
            if (result == null)
                return;
            for (var channel = 0; channel < Sizes.Channels; channel++)
            {
                var sum = 0.0;
                for (long example = 0; example < Sizes.Batch; example++)
                    sum += Sums[(example * 2 * Sizes.Channels) + offset + channel];
                result[channel] = (float)sum;
            }
        }

        // Leaves the gradient before the activation in the place of that of x; its products with normalised values, and it itself, summed.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly (float Product, float Sum) ThroughActivation(long start, float mean, float inverse, float scale, float bias)
        {
            var x = X + start;
            var g = OutputGrad + start;
            var result = XGrad + start;
            var (center, factor) = (TSimd.Broadcast(mean), TSimd.Broadcast(inverse));
            var (slope, shift, one) = (TSimd.Broadcast(scale), TSimd.Broadcast(bias), TSimd.Broadcast(1));
            var (product, sum) = (default(TVector), default(TVector));
            for (long i = 0; i < Sizes.Positions; i += TSimd.Width)
            {
                var rest = Sizes.Positions - i;
                var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + i, rest), center), factor);
                var gradient = Lanes<TVector, TSimd>.Load(g + i, rest);
                if (Silu)
                {
                    var z = TSimd.MultiplyAdd(normalized, slope, shift);
                    var sigmoid = GroupNormMath<TVector, TSimd>.Sigmoid(z);
                    var derivative = TSimd.Multiply(sigmoid, TSimd.MultiplyAdd(z, TSimd.Subtract(one, sigmoid), one));
                    gradient = TSimd.Multiply(gradient, derivative);
                }
                Lanes<TVector, TSimd>.Store(gradient, result + i, rest);
                sum = TSimd.Add(sum, gradient);
                product = TSimd.MultiplyAdd(gradient, normalized, product);
            }
            return (TSimd.Sum(product), TSimd.Sum(sum));
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void ThroughNormalization(
            long start, float mean, float inverse, float scale, float scaledMean, float productMean)
        {
            var x = X + start;
            var result = XGrad + start;
            var (center, factor, slope) = (TSimd.Broadcast(mean), TSimd.Broadcast(inverse), TSimd.Broadcast(scale));
            var (offset, product) = (TSimd.Broadcast(scaledMean), TSimd.Broadcast(productMean));
            for (long i = 0; i < Sizes.Positions; i += TSimd.Width)
            {
                var rest = Sizes.Positions - i;
                var normalized = TSimd.Multiply(TSimd.Subtract(Lanes<TVector, TSimd>.Load(x + i, rest), center), factor);
                var scaled = TSimd.Multiply(Lanes<TVector, TSimd>.Load(result + i, rest), slope);
                var gradient = TSimd.Subtract(TSimd.Subtract(scaled, offset), TSimd.Multiply(normalized, product));
                Lanes<TVector, TSimd>.Store(TSimd.Multiply(gradient, factor), result + i, rest);
            }
        }
    }
}
