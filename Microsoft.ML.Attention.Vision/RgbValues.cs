namespace Microsoft.ML.Attention.Vision;

/// <summary>One number for each colour channel.</summary>
/// <param name="Red">Value of the red channel.</param>
/// <param name="Green">Value of the green channel.</param>
/// <param name="Blue">Value of the blue channel.</param>
public readonly record struct RgbValues(float Red, float Green, float Blue);
