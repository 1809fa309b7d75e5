namespace Microsoft.ML.Attention.Vision;

/// <summary>Euler's method further down than the next noise level, and up to it again with fresh noise.</summary>
internal sealed class EulerAncestralScheduler(SchedulerConfig config, int count)
    : EulerScheduler(config with { UseKarrasSigmas = false, InterpolationType = "linear" }, count)
{
    public override void Step(int step, ReadOnlySpan<float> output, Span<float> latents, Span<float> original, ReadOnlySpan<float> noise)
    {
        var (from, to) = (Sigmas[step], Sigmas[step + 1]);
        var up = MathF.Sqrt(to * to * (from * from - to * to) / (from * from));
        Move(from, MathF.Sqrt(to * to - up * up), output, latents, original);
        for (var i = 0; i < latents.Length; i++)
            latents[i] += up * noise[i];
    }
}
