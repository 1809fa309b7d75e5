using System.Globalization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How well objects are detected, by the rules of the COCO challenge: average precision over classes, interpolated at 101 recalls, of the
/// 100 best detections a picture. A detection is right where its overlap (intersection over union) with an object reaches a threshold.
/// </summary>
public sealed record DetectionMetrics
{
    /// <summary>The mean over the thresholds 0.50, 0.55, ... 0.95.</summary>
    public required double AP { get; init; }

    /// <summary>At the threshold 0.5, as PASCAL VOC measures.</summary>
    public required double AP50 { get; init; }

    /// <summary>At the threshold 0.75.</summary>
    public required double AP75 { get; init; }

    /// <summary>As <see cref="AP"/>, of objects below 32 x 32 pixels; not a number where there are none.</summary>
    public required double APSmall { get; init; }

    /// <summary>As <see cref="AP"/>, of objects between 32 x 32 and 96 x 96 pixels; not a number where there are none.</summary>
    public required double APMedium { get; init; }

    /// <summary>As <see cref="AP"/>, of objects above 96 x 96 pixels; not a number where there are none.</summary>
    public required double APLarge { get; init; }

    /// <summary>The share of objects found among the 100 best detections a picture, over the thresholds.</summary>
    public required double Recall { get; init; }

    /// <summary>AP and AP50 of each class that has objects.</summary>
    public required IReadOnlyDictionary<string, (double AP, double AP50)> Classes { get; init; }

    /// <summary>The metrics as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"AP {AP:0.000}, AP50 {AP50:0.000}, AP75 {AP75:0.000}, small {APSmall:0.000}, medium {APMedium:0.000}, large {APLarge:0.000}, "
        + $"recall {Recall:0.000}; AP50 of {string.Join(", ", Classes.Select(OfClass))}");

    private static string OfClass(KeyValuePair<string, (double AP, double AP50)> entry) =>
        string.Create(CultureInfo.InvariantCulture, $"{entry.Key} {entry.Value.AP50:0.000}");
}
