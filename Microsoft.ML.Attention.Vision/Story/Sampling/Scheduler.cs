namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Leads latents from noise to a picture in a fixed number of steps. A table without state: one serves any number of pictures and threads.
/// </summary>
internal abstract class Scheduler
{
    private protected Scheduler(SchedulerConfig config)
    {
        if (config.Thresholding)
            throw new NotSupportedException("The scheduler's configuration asks for dynamic thresholding, which latents are not made for.");
        (Config, AlphaBar) = (config, NoiseLevels.AlphaBar(config));
    }

    /// <summary>The step of training that each step corresponds to: what the UNet is told.</summary>
    public abstract IReadOnlyList<double> Timesteps { get; }

    /// <summary>What standard normal noise is multiplied by to start from.</summary>
    public abstract float InitialNoise { get; }

    /// <summary>Whether a step draws noise, used or not, of as many numbers as there are latents.</summary>
    public virtual bool DrawsNoise => false;

    private protected SchedulerConfig Config { get; }

    private protected float[] AlphaBar { get; }

    /// <summary>A scheduler for some number of steps.</summary>
    /// <param name="kind">Which one.</param>
    /// <param name="config">The model's configuration.</param>
    /// <param name="count">The number of steps.</param>
    /// <exception cref="NotSupportedException">The configuration asks for what is not known here; the message says what.</exception>
    public static Scheduler Create(StoryScheduler kind, SchedulerConfig config, int count) => kind switch
    {
        StoryScheduler.Ddim => new DdimScheduler(config, count),
        StoryScheduler.Euler => new EulerScheduler(config, count),
        StoryScheduler.EulerAncestral => new EulerAncestralScheduler(config, count),
        StoryScheduler.DpmSolverMultistep => new DpmSolverMultistepScheduler(config, count),
        StoryScheduler.FromModel => Create(KindOf(config), config, count),
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Unknown scheduler."),
    };

    /// <summary>What the UNet is shown of latents: a multiple of them.</summary>
    /// <param name="step">The step, from 0.</param>
    public virtual float InputScale(int step) => 1;

    /// <summary>Leads latents one step on.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="output">What the UNet predicts.</param>
    /// <param name="latents">The latents before the step and, afterwards, after it.</param>
    /// <param name="original">The latents without noise as predicted: in the step before and, afterwards, in this one.</param>
    /// <param name="noise">Standard normal noise where <see cref="DrawsNoise"/>; otherwise not looked at.</param>
    public abstract void Step(int step, ReadOnlySpan<float> output, Span<float> latents, Span<float> original, ReadOnlySpan<float> noise);

    /// <summary>
    /// What the UNet's output makes of latents that are <paramref name="alpha"/> times a picture plus <paramref name="sigma"/> times noise:
    /// the picture is <c>Latents * x + Output * output</c>.
    /// </summary>
    private protected (float Latents, float Output) OriginalWeights(float alpha, float sigma) => Config.PredictionType switch
    {
        "epsilon" => (1 / alpha, -sigma / alpha),
        "sample" => (0, 1),
        "v_prediction" => (alpha, -sigma),
        var kind => throw new NotSupportedException($"prediction_type '{kind}' is not known; known are epsilon, sample and v_prediction."),
    };

    private static StoryScheduler KindOf(SchedulerConfig config) => config.ClassName switch
    {
        "DDIMScheduler" => StoryScheduler.Ddim,
        "EulerDiscreteScheduler" => StoryScheduler.Euler,
        "EulerAncestralDiscreteScheduler" => StoryScheduler.EulerAncestral,
        "DPMSolverMultistepScheduler" => StoryScheduler.DpmSolverMultistep,
        var name => throw new NotSupportedException($"The model's scheduler '{name}' is not known: choose "
            + $"{nameof(StoryScheduler)}.{nameof(StoryScheduler.Ddim)}, as StoryDiffusion does for every model, or another one by name."),
    };
}
