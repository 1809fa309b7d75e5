using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The names of the columns that few-shot segmentation adds.</summary>
public sealed record SegmentationColumns
{
    /// <summary>
    /// The mask: an <see cref="MLImage"/> of the picture's size, whose levels (red, green and blue alike) are classes, from 1 in the order
    /// of the support set, and 0 for the background.
    /// </summary>
    public string Mask { get; init; } = "PredictedMask";

    /// <summary>The same as runs: a vector [n, 4] of integers, see <see cref="MaskRuns"/>. It is empty where nothing was found.</summary>
    public string Runs { get; init; } = "PredictedRuns";

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Mask);
        context.SaveNonEmptyString(Runs);
    }

    internal static SegmentationColumns Load(ModelLoadContext context) =>
        new() { Mask = context.LoadNonEmptyString(), Runs = context.LoadNonEmptyString() };
}
