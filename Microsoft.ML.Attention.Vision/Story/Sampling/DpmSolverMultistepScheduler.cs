namespace Microsoft.ML.Attention.Vision;

/// <summary>DPM-Solver++ of first or second order in several steps (Lu et al., arXiv 2211.01095, algorithm 2).</summary>
internal sealed class DpmSolverMultistepScheduler : Scheduler
{
    private const int FewSteps = 15;

    private readonly double[] _timesteps;

    // What is left of the picture and of the noise before each step and after the last.
    private readonly (double Alpha, double Sigma)[] _levels;

    public DpmSolverMultistepScheduler(SchedulerConfig config, int count) : base(config)
    {
        Require("algorithm_type", config.AlgorithmType, "dpmsolver++");
        Require("solver_type", config.SolverType, "midpoint");
        if (config.SolverOrder is not (1 or 2))
            throw new NotSupportedException($"solver_order {config.SolverOrder} is not known; known are 1 and 2.");

        var table = new SigmaSchedule(AlphaBar);
        _timesteps = Array.ConvertAll(Spaced(config, count), Math.Round);
        var sigmas = Array.ConvertAll(_timesteps, time => (double)table.At(time));
        if (config.UseKarrasSigmas)
        {
            sigmas = SigmaSchedule.Karras(table.Range.Greatest, table.Range.Least, count);
            _timesteps = Array.ConvertAll(sigmas, sigma => Math.Round(table.TimestepOf(sigma)));
        }
        var last = config.FinalSigmasType switch
        {
            "zero" => 0,
            "sigma_min" => table.Range.Least,
            var kind => throw new NotSupportedException($"final_sigmas_type '{kind}' is not known; known are zero and sigma_min."),
        };
        _levels = [.. sigmas.Append(last).Select(sigma => (1 / Math.Sqrt(sigma * sigma + 1), sigma / Math.Sqrt(sigma * sigma + 1)))];
    }

    public override IReadOnlyList<double> Timesteps => _timesteps;

    public override float InitialNoise => 1;

    public override void Step(int step, ReadOnlySpan<float> output, Span<float> latents, Span<float> original, ReadOnlySpan<float> noise)
    {
        var (from, to) = (_levels[step], _levels[step + 1]);
        var (ofLatents, ofOutput) = OriginalWeights((float)from.Alpha, (float)from.Sigma);
        var logStep = LogRatio(to) - LogRatio(from);
        var (keep, add) = ((float)(to.Sigma / from.Sigma), (float)(to.Alpha * (1 - Math.Exp(-logStep))));
        // Half the slope of the prediction since the step before, over this step.
        var slope = IsSecondOrder(step) ? (float)(0.5 * logStep / (LogRatio(from) - LogRatio(_levels[step - 1]))) : 0;
        for (var i = 0; i < latents.Length; i++)
        {
            var picture = ofLatents * latents[i] + ofOutput * output[i];
            var ahead = slope == 0 ? picture : picture + slope * (picture - original[i]);
            (latents[i], original[i]) = (keep * latents[i] + add * ahead, picture);
        }
    }

    private bool IsSecondOrder(int step)
    {
        var isLast = step == _timesteps.Length - 1;
        var endsInFirstOrder = Config.EulerAtFinal || Config.FinalSigmasType == "zero" || (Config.LowerOrderFinal && _timesteps.Length < FewSteps);
        return Config.SolverOrder == 2 && step > 0 && !(isLast && endsInFirstOrder);
    }

    private static double LogRatio((double Alpha, double Sigma) level) => Math.Log(level.Alpha) - Math.Log(level.Sigma);

    // As many steps as wanted out of one more, but for the trailing ones.
    private static double[] Spaced(SchedulerConfig config, int count) => config.TimestepSpacing switch
    {
        "trailing" => Vision.Timesteps.Spaced(config, "trailing", count),
        var spacing => Vision.Timesteps.Spaced(config, spacing ?? "linspace", count + 1)[..count],
    };

    private static void Require(string name, string value, string known)
    {
        if (value != known)
            throw new NotSupportedException($"{name} '{value}' is not known; known is {known}.");
    }
}
