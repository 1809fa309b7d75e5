using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The names of the columns that a detector adds. They list the detections of a picture, best first.</summary>
public sealed record DetectionColumns
{
    /// <summary>
    /// The boxes, a vector [n, 4] of x and y of the upper left and the lower right corner in pixels of the picture as it came.
    /// </summary>
    public string Boxes { get; init; } = "PredictedBoxes";

    /// <summary>How sure the detector is of each box, a vector of n numbers in [0, 1].</summary>
    public string Scores { get; init; } = "Scores";

    /// <summary>The class of each box, a vector of n keys whose values are the classes' names.</summary>
    public string Classes { get; init; } = "PredictedLabels";

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Boxes);
        context.SaveNonEmptyString(Scores);
        context.SaveNonEmptyString(Classes);
    }

    internal static DetectionColumns Load(ModelLoadContext context) => new()
    {
        Boxes = context.LoadNonEmptyString(),
        Scores = context.LoadNonEmptyString(),
        Classes = context.LoadNonEmptyString(),
    };
}
