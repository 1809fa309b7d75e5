namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// The weighting of source pixels when a picture is resized. Every filter is antialiased: it widens with the downscaling factor.
/// Results equal Pillow's <c>Image.resize</c> bit for bit.
/// </summary>
public enum ResampleFilter
{
    /// <summary>Mean of the covered pixels; radius 0.5.</summary>
    Box,

    /// <summary>Triangle; radius 1.</summary>
    Bilinear,

    /// <summary>Hamming-windowed sinc, as sharp as <see cref="Bicubic"/> at the cost of <see cref="Bilinear"/>; radius 1.</summary>
    Hamming,

    /// <summary>Keys' cubic convolution with a = -0.5; radius 2. What most published ImageNet accuracies are measured with.</summary>
    Bicubic,

    /// <summary>Sinc windowed by a sinc; radius 3.</summary>
    Lanczos,
}
