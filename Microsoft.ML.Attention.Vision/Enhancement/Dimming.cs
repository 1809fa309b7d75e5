using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// A camera in low light, at random: less exposure, deeper shadows, noise, and rounding to 8 bits. It makes dark pictures of normal ones
/// where no real pairs are at hand. A level v in [0, 1] becomes exposure v^gamma, plus noise of the variance
/// read noise² + shot noise exposure v^gamma.
/// </summary>
public sealed record Dimming
{
    /// <summary>The range of the exposure, in (0, 1].</summary>
    public (double Minimum, double Maximum) Exposure { get; init; } = (0.2, 0.6);

    /// <summary>The range of the exponent; above 1 shadows get darker than lights.</summary>
    public (double Minimum, double Maximum) Gamma { get; init; } = (1.2, 2.2);

    /// <summary>The standard deviation of the noise of black, in [0, 1] of white.</summary>
    public double ReadNoise { get; init; } = 0.004;

    /// <summary>The variance of the noise of white that is not read noise.</summary>
    public double ShotNoise { get; init; } = 0.0004;

    /// <summary>A dark picture of a normal one.</summary>
    /// <param name="image">The normal picture.</param>
    /// <param name="seed">Tells exposure, exponent and noise.</param>
    /// <exception cref="ArgumentException">A range or a noise is out of bounds.</exception>
    public MLImage Apply(MLImage image, int seed)
    {
        Validate();
        using var pixels = new PixelBuffer();
        MLImagePixels.Copy(image, pixels);
        var random = new SampleRandom(seed, epoch: 0, index: 0);
        var dark = new byte[pixels.Width * pixels.Height * PixelView.BytesPerPixel];
        pixels.View.CopyTo(dark);
        Apply(dark, ref random);
        return MLImage.CreateFromPixels(pixels.Width, pixels.Height, MLPixelFormat.Rgba32, dark);
    }

    internal void Validate()
    {
        Check(IsRange(Exposure) && Exposure.Maximum <= 1, nameof(Exposure), Exposure, "a range in (0, 1]");
        Check(IsRange(Gamma), nameof(Gamma), Gamma, "a range of positive numbers");
        Check(ReadNoise is >= 0 and <= 1, nameof(ReadNoise), ReadNoise, "in [0, 1]");
        Check(ShotNoise is >= 0 and <= 1, nameof(ShotNoise), ShotNoise, "in [0, 1]");

        static bool IsRange((double Minimum, double Maximum) range) => range.Minimum > 0 && range.Minimum <= range.Maximum;

        static void Check(bool valid, string name, object value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{name} of the dimming is {value}; it must be {expected}.");
        }
    }

    /// <summary>Dims pixels of four bytes in place; fourth bytes become 255.</summary>
    internal void Apply(Span<byte> pixels, ref SampleRandom random)
    {
        var exposure = random.NextDouble(Exposure.Minimum, Exposure.Maximum);
        var gamma = random.NextDouble(Gamma.Minimum, Gamma.Maximum);
        Span<float> levels = stackalloc float[256];
        Span<float> deviations = stackalloc float[256];
        for (var level = 0; level < levels.Length; level++)
        {
            var dimmed = exposure * Math.Pow(level / 255.0, gamma);
            levels[level] = (float)(255 * dimmed);
            deviations[level] = (float)(255 * Math.Sqrt((ReadNoise * ReadNoise) + (ShotNoise * dimmed)));
        }
        for (var i = 0; i < pixels.Length; i++)
        {
            var level = pixels[i];
            pixels[i] = i % PixelView.BytesPerPixel == 3
                ? (byte)255
                : (byte)Math.Clamp(levels[level] + (deviations[level] * random.NextNormal()) + 0.5f, 0, 255);
        }
    }
}
