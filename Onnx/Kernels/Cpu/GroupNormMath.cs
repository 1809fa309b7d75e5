using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>What the kernels of group normalisation and of its gradient share.</summary>
internal static unsafe class GroupNormMath<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    /// <summary>Below, e^-z would overflow; the sigmoid is 0 to any precision.</summary>
    private const float Lowest = -80;

    /// <summary>1 / (1 + e^-z).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Sigmoid(TVector z)
    {
        var one = TSimd.Broadcast(1);
        var exponential = TSimd.Exp(TSimd.Subtract(default, TSimd.Max(z, TSimd.Broadcast(Lowest))));
        return TSimd.Divide(one, TSimd.Add(one, exponential));
    }

    /// <summary>The mean of channels that lie next to each other, and one by their deviation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Mean, float Inverse) Statistics(float* group, int channels, long positions, float epsilon)
    {
        // Sums of one channel in single precision, of all in double.
        var (sum, squares, count) = (0.0, 0.0, (double)(channels * positions));
        for (var channel = 0; channel < channels; channel++)
        {
            var plane = group + (channel * positions);
            var part = default(TVector);
            for (long i = 0; i < positions; i += TSimd.Width)
                part = TSimd.Add(part, Lanes<TVector, TSimd>.Load(plane + i, positions - i));
            sum += TSimd.Sum(part);
        }
        var mean = (float)(sum / count);
        var center = TSimd.Broadcast(mean);
        for (var channel = 0; channel < channels; channel++)
        {
            var plane = group + (channel * positions);
            var part = default(TVector);
            for (long i = 0; i < positions; i += TSimd.Width)
            {
                var centered = TSimd.Subtract(Lanes<TVector, TSimd>.Load(plane + i, positions - i), center);
                centered = Lanes<TVector, TSimd>.First(centered, positions - i);
                part = TSimd.MultiplyAdd(centered, centered, part);
            }
            squares += TSimd.Sum(part);
        }
        return (mean, (float)(1 / Math.Sqrt((squares / count) + epsilon)));
    }
}
