using System.Numerics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Division of numbers below 2^31 by one that is known at launch: ((n * multiplier >> 32) + n) >> shift.</summary>
internal readonly struct Divisor
{
    public readonly uint Multiplier;
    public readonly int Shift;

    public Divisor(int divisor)
    {
        Shift = 32 - BitOperations.LeadingZeroCount((uint)divisor - 1);
        Multiplier = (uint)((((1UL << Shift) - (ulong)divisor) << 32) / (ulong)divisor + 1);
    }
}
