using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// The exact GELU for float vectors: x times the normal distribution's cumulative function, whose error function is by formula 7.1.26 of
/// Abramowitz and Stegun (exact to 1.5e-7).
/// </summary>
internal static class Gelu<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Of(TVector x) => TSimd.Multiply(x, Cumulative(x, Exponential(x)));

    /// <summary>The derivative: the cumulative function plus x times the density, which take the same exponential.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector Slope(TVector x)
    {
        var exponential = Exponential(x);
        return TSimd.MultiplyAdd(TSimd.Multiply(x, exponential), TSimd.Broadcast(0.398942280f), Cumulative(x, exponential));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Exponential(TVector x) => TSimd.Exp(TSimd.Multiply(TSimd.Multiply(x, x), TSimd.Broadcast(-0.5f)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Cumulative(TVector x, TVector exponential)
    {
        var one = TSimd.Broadcast(1);
        var magnitude = TSimd.CopySign(x, one);
        var t = TSimd.Divide(one, TSimd.MultiplyAdd(magnitude, TSimd.Broadcast(0.3275911f * 0.70710678f), one));
        var p = TSimd.Broadcast(1.061405429f);
        p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(-1.453152027f));
        p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(1.421413741f));
        p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(-0.284496736f));
        p = TSimd.MultiplyAdd(p, t, TSimd.Broadcast(0.254829592f));
        // Half of erf(|x| / sqrt 2), then with the sign of x.
        var half = TSimd.MultiplyAdd(TSimd.Multiply(p, t), TSimd.Multiply(exponential, TSimd.Broadcast(-0.5f)), TSimd.Broadcast(0.5f));
        return TSimd.Add(TSimd.CopySign(half, x), TSimd.Broadcast(0.5f));
    }
}
