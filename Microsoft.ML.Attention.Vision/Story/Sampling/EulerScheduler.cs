namespace Microsoft.ML.Attention.Vision;

/// <summary>Euler's method for the probability flow in the noise level sigma (Karras et al., arXiv 2206.00364, algorithm 1 without churn).</summary>
internal class EulerScheduler : Scheduler
{
    private readonly double[] _timesteps;

    public EulerScheduler(SchedulerConfig config, int count) : base(config)
    {
        var spacing = config.TimestepSpacing ?? "linspace";
        var table = new SigmaSchedule(AlphaBar);
        _timesteps = Vision.Timesteps.Spaced(config, spacing, count);
        var sigmas = Array.ConvertAll(_timesteps, time => (double)table.At(time));
        if (config.InterpolationType == "log_linear")
            sigmas = table.LogLinear(count + 1);
        else if (config.InterpolationType != "linear")
            throw new NotSupportedException($"interpolation_type '{config.InterpolationType}' is not known; known are linear and log_linear.");
        if (config.UseKarrasSigmas)
        {
            sigmas = SigmaSchedule.Karras(sigmas[0], sigmas[^1], count);
            _timesteps = Array.ConvertAll(sigmas, table.TimestepOf);
        }
        Sigmas = [.. sigmas.Select(sigma => (float)sigma), 0];
        var greatest = Sigmas.Max();
        InitialNoise = spacing == "leading" ? MathF.Sqrt(greatest * greatest + 1) : greatest;
    }

    public override IReadOnlyList<double> Timesteps => _timesteps;

    public override float InitialNoise { get; }

    // Diffusers draws for the churn even where there is none: what is drawn afterwards depends on it.
    public override bool DrawsNoise => true;

    /// <summary>The noise before each step and after the last.</summary>
    internal float[] Sigmas { get; }

    public override float InputScale(int step) => 1 / MathF.Sqrt(Sigmas[step] * Sigmas[step] + 1);

    public override void Step(int step, ReadOnlySpan<float> output, Span<float> latents, Span<float> original, ReadOnlySpan<float> noise) =>
        Move(Sigmas[step], Sigmas[step + 1], output, latents, original);

    /// <summary>Moves latents straight on from one noise level to another.</summary>
    private protected void Move(float from, float to, ReadOnlySpan<float> output, Span<float> latents, Span<float> original)
    {
        // Latents are 1 / alpha of those that OriginalWeights speaks of.
        var alpha = 1 / MathF.Sqrt(from * from + 1);
        var (ofLatents, ofOutput) = OriginalWeights(alpha, from * alpha);
        for (var i = 0; i < latents.Length; i++)
        {
            var picture = original[i] = ofLatents * alpha * latents[i] + ofOutput * output[i];
            latents[i] += (latents[i] - picture) / from * (to - from);
        }
    }
}
