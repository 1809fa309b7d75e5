namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How pictures of any size go through an enhancing model, whose weights belong to one size: its dynamic convolutions have a filter and a
/// weight for each place of a grid on the picture, so the same weights at another size would be other weights.
/// </summary>
public enum LowLightFit
{
    /// <summary>
    /// The picture is cut into overlapping tiles of the model's size, which are enhanced for themselves and blended; the result has the
    /// picture's size and every detail. Smaller pictures are continued by their mirror image. The model sees one tile at a time: train it
    /// on tiles, too.
    /// </summary>
    Tiled,

    /// <summary>
    /// The whole picture is stretched to the model's size, as the published program does, and so is the result, in which published
    /// metrics are measured. Pictures are batched.
    /// </summary>
    Resized,

    /// <summary>As <see cref="Resized"/>, and the result is stretched back to the picture's size, without its finest details.</summary>
    Restored,
}
