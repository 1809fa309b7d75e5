namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// The names of the columns that tell the objects in a picture; the defaults are those of <see cref="AnnotatedPicture"/>.
/// </summary>
public sealed record AnnotationColumns
{
    /// <summary>The boxes: a vector of four numbers each, the corners in pixels.</summary>
    public string Boxes { get; init; } = nameof(AnnotatedPicture.Boxes);

    /// <summary>The class of each box: a vector of texts, or of keys with text values.</summary>
    public string Labels { get; init; } = nameof(AnnotatedPicture.Labels);

    /// <summary>Which boxes are passed over: a vector of booleans. Null, or a column that is not there, for none.</summary>
    public string? Ignored { get; init; } = nameof(AnnotatedPicture.Ignored);
}
