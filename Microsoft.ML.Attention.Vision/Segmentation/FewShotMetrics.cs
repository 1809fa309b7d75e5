using System.Globalization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How well objects are segmented, by the rules of few-shot segmentation: intersections and unions are summed over all pictures before they
/// are divided.
/// </summary>
public sealed record FewShotMetrics
{
    /// <summary>mIoU: the mean over classes of the class's intersection over union.</summary>
    public required double MeanIoU { get; init; }

    /// <summary>FB-IoU: the mean of the intersection over union of all objects, whatever their class, and of all background.</summary>
    public required double ForegroundBackgroundIoU { get; init; }

    /// <summary>The intersection over union of each class.</summary>
    public required IReadOnlyDictionary<string, double> Classes { get; init; }

    /// <summary>The number of pictures that were measured.</summary>
    public required int PictureCount { get; init; }

    /// <summary>The metrics as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"mIoU {MeanIoU:0.000}, FB-IoU {ForegroundBackgroundIoU:0.000}, {PictureCount} pictures; "
        + $"IoU of {string.Join(", ", Classes.Select(OfClass))}");

    private static string OfClass(KeyValuePair<string, double> entry) =>
        string.Create(CultureInfo.InvariantCulture, $"{entry.Key} {entry.Value:0.000}");
}
