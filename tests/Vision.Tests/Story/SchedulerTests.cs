using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

/// <summary>
/// Of pictures whose values are normal with deviation S, the best prediction of the noise in x = a y + s n is s x / (a² S² + s²), and the
/// probability flow keeps x / sqrt(a² S² + s²): the end of a trajectory is known.
/// </summary>
public sealed class SchedulerTests
{
    private const float Spread = 0.5f;

    private static readonly SchedulerConfig Config = new()
    {
        BetaStart = 0.00085, BetaEnd = 0.012, BetaSchedule = "scaled_linear", ClipSample = false, SetAlphaToOne = false,
        TimestepSpacing = "trailing", FinalSigmasType = "sigma_min",
    };

    // Order: twice the steps divide the error by two to its power. The steps are equal ones in the logarithm of signal to noise.
    [Theory]
    [InlineData("ddim", 1)]
    [InlineData("euler", 1)]
    [InlineData("dpm1", 1)]
    [InlineData("dpm2", 2)]
    public void ConvergesToTheProbabilityFlow(string name, double order)
    {
        var (few, many) = (Error(name, 50), Error(name, 200));
        Assert.InRange(Math.Log(few / many, 4), order - 0.35, order + 0.6);
        Assert.InRange(many, 0, order == 1 ? 0.02 : 0.002);
    }

    // Of one picture only, every step of every method is exact.
    [Theory]
    [InlineData(StoryScheduler.Ddim, "epsilon")]
    [InlineData(StoryScheduler.Ddim, "v_prediction")]
    [InlineData(StoryScheduler.Euler, "epsilon")]
    [InlineData(StoryScheduler.Euler, "v_prediction")]
    [InlineData(StoryScheduler.EulerAncestral, "epsilon")]
    [InlineData(StoryScheduler.DpmSolverMultistep, "epsilon")]
    [InlineData(StoryScheduler.DpmSolverMultistep, "v_prediction")]
    [InlineData(StoryScheduler.DpmSolverMultistep, "sample")]
    public void FindsTheOnlyPicture(StoryScheduler kind, string prediction)
    {
        const float Only = 0.7f;
        var config = Config with { PredictionType = prediction, SetAlphaToOne = true, FinalSigmasType = "zero" };
        var (scheduler, alphaBar) = (Scheduler.Create(kind, config, 20), NoiseLevels.AlphaBar(config));
        var sigmaSpace = scheduler as EulerScheduler;
        var (latents, original, noise) = (new[] { 0.3f * scheduler.InitialNoise }, new float[1], new[] { 0.4f });
        for (var step = 0; step < 20; step++)
        {
            var (alpha, sigma) = Level(step);
            var scale = sigmaSpace is null ? 1 : alpha;
            var noiseInIt = (latents[0] * scale - alpha * Only) / sigma;
            float output = prediction switch { "epsilon" => noiseInIt, "sample" => Only, _ => alpha * noiseInIt - sigma * Only };
            scheduler.Step(step, [output], latents, original, noise);
            Assert.Equal(Only, original[0], 3);
        }
        Assert.Equal(Only, latents[0], 3);

        (float Alpha, float Sigma) Level(int step)
        {
            if (sigmaSpace is not null)
                return (1 / MathF.Sqrt(sigmaSpace.Sigmas[step] * sigmaSpace.Sigmas[step] + 1),
                    sigmaSpace.Sigmas[step] / MathF.Sqrt(sigmaSpace.Sigmas[step] * sigmaSpace.Sigmas[step] + 1));
            var bar = alphaBar[(int)scheduler.Timesteps[step]];
            return (MathF.Sqrt(bar), MathF.Sqrt(1 - bar));
        }
    }

    [Fact]
    public void AncestralNoiseKeepsTheLevel()
    {
        const int Count = 20_000;
        var scheduler = (EulerAncestralScheduler)Scheduler.Create(StoryScheduler.EulerAncestral, Config, 10);
        var (latents, original, output, noise) = (new float[Count], new float[Count], new float[Count], new float[Count]);
        var random = new TorchRandom(1);
        random.FillNormal(latents);
        for (var i = 0; i < Count; i++)
            latents[i] *= scheduler.InitialNoise;
        for (var step = 0; step < 10; step++)
        {
            for (var i = 0; i < Count; i++)
                output[i] = latents[i] / scheduler.Sigmas[step]; // the only picture is black
            random.FillNormal(noise);
            scheduler.Step(step, output, latents, original, noise);
            var deviation = Math.Sqrt(latents.Average(value => (double)value * value));
            Assert.InRange(deviation, 0.98 * scheduler.Sigmas[step + 1], 1.02 * scheduler.Sigmas[step + 1] + 1e-4);
        }
    }

    [Fact]
    public void FewStepsOfDpmSolverAreChosenOutOfOneMore()
    {
        var linear = Scheduler.Create(StoryScheduler.DpmSolverMultistep, Config with { TimestepSpacing = "linspace" }, 4);
        Assert.Equal([999, 749, 500, 250], linear.Timesteps);
        var leading = Scheduler.Create(StoryScheduler.DpmSolverMultistep, Config with { TimestepSpacing = "leading", StepsOffset = 1 }, 4);
        Assert.Equal([801, 601, 401, 201], leading.Timesteps);
    }

    [Fact]
    public void SaysWhatItDoesNotKnow()
    {
        Assert.Contains("'PNDMScheduler' is not known", Refused(StoryScheduler.FromModel, Config with { ClassName = "PNDMScheduler" }));
        Assert.Contains("timestep_spacing 'odd'", Refused(StoryScheduler.Ddim, Config with { TimestepSpacing = "odd" }));
        Assert.Contains("beta_schedule 'sigmoid'", Refused(StoryScheduler.Ddim, Config with { BetaSchedule = "sigmoid" }));
        Assert.Contains("solver_order 3", Refused(StoryScheduler.DpmSolverMultistep, Config with { SolverOrder = 3 }));
        Assert.Contains("algorithm_type 'sde-dpmsolver++'", Refused(StoryScheduler.DpmSolverMultistep, Config with { AlgorithmType = "sde-dpmsolver++" }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Scheduler.Create(StoryScheduler.Ddim, Config, 1001));

        static string Refused(StoryScheduler kind, SchedulerConfig config) =>
            Assert.Throws<NotSupportedException>(() => Scheduler.Create(kind, config, 5)).Message;
    }

    private static double Error(string name, int count)
    {
        var bars = Enumerable.Range(0, 1000).Select(i => 1 / (1 + Math.Exp(-2 * (2.5 - 0.005 * i)))).ToArray();
        float[] betas = [.. bars.Select((bar, i) => (float)(1 - (i == 0 ? bar : bar / bars[i - 1])))];
        var config = Config with { SolverOrder = name == "dpm1" ? 1 : 2, TrainedBetas = betas };
        var kind = name switch { "ddim" => StoryScheduler.Ddim, "euler" => StoryScheduler.Euler, _ => StoryScheduler.DpmSolverMultistep };
        var (scheduler, alphaBar) = (Scheduler.Create(kind, config, count), NoiseLevels.AlphaBar(config));
        var sigmas = (scheduler as EulerScheduler)?.Sigmas;
        var (latents, original) = (new[] { 1f }, new float[1]);
        if (sigmas is not null)
            latents[0] = MathF.Sqrt(Spread * Spread + sigmas[0] * sigmas[0]);
        var start = alphaBar[(int)scheduler.Timesteps[0]];
        // Euler's last step goes to no noise at all, from noise that more steps hardly lower.
        var last = sigmas is null ? count : count - 1;
        for (var step = 0; step < last; step++)
        {
            var bar = alphaBar[(int)scheduler.Timesteps[step]];
            var output = sigmas is null
                ? MathF.Sqrt(1 - bar) * latents[0] / (bar * Spread * Spread + 1 - bar)
                : sigmas[step] * latents[0] / (Spread * Spread + sigmas[step] * sigmas[step]);
            scheduler.Step(step, [output], latents, original, []);
        }
        var end = alphaBar[0];
        var exact = sigmas is not null
            ? Math.Sqrt(Spread * Spread + sigmas[last] * sigmas[last])
            : Math.Sqrt((end * Spread * Spread + 1 - end) / (start * Spread * Spread + 1 - start));
        return Math.Abs(latents[0] - exact) / exact;
    }
}
