using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture with the objects in it: a row of the data that detectors are trained on and measured with.</summary>
public sealed class AnnotatedPicture
{
    /// <summary>The path of the picture.</summary>
    public string Image { get; set; } = "";

    /// <summary>
    /// The boxes, four numbers each: x and y of the upper left and of the lower right corner, in pixels of the picture. The left edge of
    /// the first pixel is 0.
    /// </summary>
    [VectorType]
    public float[] Boxes { get; set; } = [];

    /// <summary>The class of each box.</summary>
    [VectorType]
    public string[] Labels { get; set; } = [];

    /// <summary>
    /// Which boxes stand for crowds or are too hard: they are not trained on, and finding them or not does not count.
    /// </summary>
    [VectorType]
    public bool[] Ignored { get; set; } = [];
}
