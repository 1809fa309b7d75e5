namespace Microsoft.ML.Attention.Vision;

/// <summary>Denoising diffusion implicit models (Song et al., arXiv 2010.02502).</summary>
internal sealed class DdimScheduler : Scheduler
{
    private readonly double[] _timesteps;
    private readonly int _stride;

    public DdimScheduler(SchedulerConfig config, int count) : base(config)
    {
        _timesteps = Array.ConvertAll(Vision.Timesteps.Spaced(config, config.TimestepSpacing ?? "leading", count), Math.Round);
        _stride = config.NumTrainTimesteps / count;
    }

    /// <summary>The share of fresh noise, 0 (none) to 1.</summary>
    public float Eta { get; init; }

    public override IReadOnlyList<double> Timesteps => _timesteps;

    public override float InitialNoise => 1;

    public override bool DrawsNoise => Eta > 0;

    public override void Step(int step, ReadOnlySpan<float> output, Span<float> latents, Span<float> original, ReadOnlySpan<float> noise)
    {
        var time = (int)_timesteps[step];
        var (before, after) = (AlphaBar[time], AlphaBarAfter(time - _stride));
        var (alpha, sigma) = (MathF.Sqrt(before), MathF.Sqrt(1 - before));
        var (ofLatents, ofOutput) = OriginalWeights(alpha, sigma);
        var fresh = Eta * MathF.Sqrt((1 - after) / (1 - before) * (1 - before / after));
        var (pictureScale, noiseScale) = (MathF.Sqrt(after), MathF.Sqrt(1 - after - fresh * fresh));
        for (var i = 0; i < latents.Length; i++)
        {
            var picture = ofLatents * latents[i] + ofOutput * output[i];
            // The noise in the latents, of the picture before it is clipped.
            var predictedNoise = Config.PredictionType switch
            {
                "epsilon" => output[i],
                "sample" => (latents[i] - alpha * picture) / sigma,
                _ => alpha * output[i] + sigma * latents[i],
            };
            if (Config.ClipSample)
                picture = Math.Clamp(picture, -Config.ClipSampleRange, Config.ClipSampleRange);
            original[i] = picture;
            latents[i] = pictureScale * picture + noiseScale * predictedNoise + (fresh > 0 ? fresh * noise[i] : 0);
        }
    }

    private float AlphaBarAfter(int time) => time >= 0 ? AlphaBar[time] : Config.SetAlphaToOne ? 1 : AlphaBar[0];
}
