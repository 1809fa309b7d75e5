using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Group normalisation with or without SiLU on the CPU: a group at a time.</summary>
internal sealed unsafe class GroupNormKernel<TVector, TSimd>(KernelAttributes attributes) : IKernel
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private readonly int _groups = attributes.PositiveInt("num_groups");
    private readonly float _epsilon = attributes.Float("epsilon");
    private readonly bool _silu = attributes.Int("silu") != 0;

    public void Compute(KernelContext context)
    {
        var x = context.Input(0);
        var sizes = GroupNormSizes.Of(x, _groups);
        context.ParallelFor(new Work
        {
            X = x.Data<float>(),
            Scale = context.Input(1).Expect("[C]", sizes.Channels).Data<float>(),
            Bias = context.Input(2).Expect("[C]", sizes.Channels).Data<float>(),
            Y = context.Output<float>(0, x.Shape.Dims),
            Sizes = sizes,
            Epsilon = _epsilon,
            Silu = _silu,
        }, sizes.AllGroups);
    }

    public void Dispose()
    {
    }

    private struct Work : IParallelWork
    {
        public float* X;
        public float* Scale;
        public float* Bias;
        public float* Y;
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
            for (var channel = 0; channel < channels; channel++, start += positions)
            {
                var factor = Scale[firstChannel + channel] * inverse;
                Channel(X + start, Y + start, factor, Bias[firstChannel + channel] - (mean * factor));
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Channel(float* x, float* y, float factor, float shift)
        {
            var (scale, bias) = (TSimd.Broadcast(factor), TSimd.Broadcast(shift));
            for (long i = 0; i < Sizes.Positions; i += TSimd.Width)
            {
                var rest = Sizes.Positions - i;
                var z = TSimd.MultiplyAdd(Lanes<TVector, TSimd>.Load(x + i, rest), scale, bias);
                Lanes<TVector, TSimd>.Store(Silu ? TSimd.Multiply(z, GroupNormMath<TVector, TSimd>.Sigmoid(z)) : z, y + i, rest);
            }
        }
    }
}
