using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The epoch that did best on the validation pictures so far, and its model.</summary>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Score">Its metric, signed such that more is better.</param>
internal sealed record BestEpoch(int Epoch, double Score)
{
    /// <summary>The content of the model's file; kept in a file of its own in a checkpoint.</summary>
    [JsonIgnore]
    public byte[] Model { get; init; } = [];

    /// <summary>Whether a score is better; any is better than one that is not a number.</summary>
    public bool IsBeatenBy(double score) => score > Score || double.IsNaN(Score);

    public static double ScoreOf(ValidationMetrics validation, ValidationMetric metric) => metric switch
    {
        ValidationMetric.Accuracy => validation.Accuracy,
        ValidationMetric.MacroAccuracy => validation.MacroAccuracy,
        _ => -validation.LogLoss,
    };
}
