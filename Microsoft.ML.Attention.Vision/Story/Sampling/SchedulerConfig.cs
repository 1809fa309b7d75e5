using System.Text.Json;
using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// A <c>scheduler_config.json</c> of Hugging Face diffusers: how noisy pictures are at each step of training, and how steps are chosen.
/// What a file leaves out is as diffusers has it; null depends on the scheduler.
/// </summary>
internal sealed record SchedulerConfig
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    [JsonPropertyName("_class_name")]
    public string? ClassName { get; init; }

    public int NumTrainTimesteps { get; init; } = 1000;

    public double BetaStart { get; init; } = 0.0001;

    public double BetaEnd { get; init; } = 0.02;

    public string BetaSchedule { get; init; } = "linear";

    public float[]? TrainedBetas { get; init; }

    public string PredictionType { get; init; } = "epsilon";

    public string? TimestepSpacing { get; init; }

    public int StepsOffset { get; init; }

    public bool RescaleBetasZeroSnr { get; init; }

    public bool Thresholding { get; init; }

    public bool ClipSample { get; init; } = true;

    public float ClipSampleRange { get; init; } = 1;

    public bool SetAlphaToOne { get; init; } = true;

    public bool UseKarrasSigmas { get; init; }

    public string InterpolationType { get; init; } = "linear";

    public int SolverOrder { get; init; } = 2;

    public string AlgorithmType { get; init; } = "dpmsolver++";

    public string SolverType { get; init; } = "midpoint";

    public bool LowerOrderFinal { get; init; } = true;

    public bool EulerAtFinal { get; init; }

    public string FinalSigmasType { get; init; } = "zero";

    /// <summary>Reads <c>scheduler_config.json</c> of a folder.</summary>
    /// <exception cref="InvalidDataException">The file is damaged.</exception>
    public static SchedulerConfig Load(string folder)
    {
        var path = Path.Combine(folder, "scheduler_config.json");
        try
        {
            return Parse(File.ReadAllText(path));
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"'{path}' is not a scheduler's configuration: {e.Message}", e);
        }
    }

    public static SchedulerConfig Parse(string json) => JsonSerializer.Deserialize<SchedulerConfig>(json, Json)!;
}
