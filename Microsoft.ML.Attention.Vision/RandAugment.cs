using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// A few operations on a training picture, drawn from a table of fifteen, all of about the same strength (Cubuk et al., CVPR Workshops
/// 2020). The defaults, table and strengths are those of timm's <c>rand-m9-mstd0.5-inc1</c>, which most vision transformers are trained
/// with; each operation equals Pillow's bit for bit.
/// </summary>
public sealed record RandAugment
{
    private const double HighestMagnitude = 10;

    private delegate void Operation(PictureEdit picture, double strength, in Border border);

    // The strength is in [-1, 1]; operations without a direction take its size.
    private static readonly (string Name, Operation Apply)[] Table =
    [
        ("AutoContrast", static (picture, _, in _) => picture.AutoContrast()),
        ("Equalize", static (picture, _, in _) => picture.Equalize()),
        ("Invert", static (picture, _, in _) => picture.Invert()),
        ("Rotate", static (picture, strength, in border) =>
            AffineTransform.Rotate(30 * strength, picture.Width, picture.Height).Apply(picture, border.Bicubic, border.Fill)),
        ("Posterize", static (picture, strength, in _) => picture.Posterize(4 - (int)(4 * Math.Abs(strength)))),
        ("Solarize", static (picture, strength, in _) => picture.Solarize(256 - Math.Min((int)(256 * Math.Abs(strength)), 256))),
        ("SolarizeAdd", static (picture, strength, in _) => picture.SolarizeAdd(Math.Min((int)(110 * Math.Abs(strength)), 128))),
        ("Color", static (picture, strength, in _) => picture.Colour(EnhancementOf(strength))),
        ("Contrast", static (picture, strength, in _) => picture.Contrast(EnhancementOf(strength))),
        ("Brightness", static (picture, strength, in _) => picture.Brightness(EnhancementOf(strength))),
        ("Sharpness", static (picture, strength, in _) => picture.Sharpness(EnhancementOf(strength))),
        ("ShearX", static (picture, strength, in border) =>
            AffineTransform.ShearX(0.3 * strength).Apply(picture, border.Bicubic, border.Fill)),
        ("ShearY", static (picture, strength, in border) =>
            AffineTransform.ShearY(0.3 * strength).Apply(picture, border.Bicubic, border.Fill)),
        ("TranslateX", static (picture, strength, in border) =>
            AffineTransform.Translate(0.45 * strength * picture.Width, 0).Apply(picture, border.Bicubic, border.Fill)),
        ("TranslateY", static (picture, strength, in border) =>
            AffineTransform.Translate(0, 0.45 * strength * picture.Height).Apply(picture, border.Bicubic, border.Fill)),
    ];

    /// <summary>How many operations are drawn for a picture; one may be drawn twice.</summary>
    public int OperationCount { get; init; } = 2;

    /// <summary>The probability that a drawn operation is applied, in [0, 1].</summary>
    public double Probability { get; init; } = 0.5;

    /// <summary>The mean strength, in [0, 10].</summary>
    public double Magnitude { get; init; } = 9;

    /// <summary>The standard deviation of the strength, which is drawn for each operation and clipped to [0, 10].</summary>
    public double MagnitudeDeviation { get; init; } = 0.5;

    /// <summary>The names of the operations.</summary>
    internal static IEnumerable<string> Operations => Table.Select(operation => operation.Name);

    internal void Validate()
    {
        Check(OperationCount >= 0, nameof(OperationCount), OperationCount, "0 or more");
        Check(Probability is >= 0 and <= 1, nameof(Probability), Probability, "in [0, 1]");
        Check(Magnitude is >= 0 and <= HighestMagnitude, nameof(Magnitude), Magnitude, "in [0, 10]");
        Check(MagnitudeDeviation >= 0, nameof(MagnitudeDeviation), MagnitudeDeviation, "0 or more");

        static void Check(bool valid, string name, double value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{name} of {nameof(RandAugment)} is {value}; it must be {expected}.");
        }
    }

    /// <summary>Changes a picture of the preprocessing's size; where it is moved its mean colour comes in.</summary>
    internal void Apply(PictureEdit picture, ImagePreprocessing preprocessing, ref SampleRandom random)
    {
        var border = Border.Of(preprocessing);
        for (var i = 0; i < OperationCount; i++)
        {
            var operation = Table[random.Next(Table.Length)];
            if (random.NextDouble() >= Probability)
                continue;
            var magnitude = Math.Clamp(Magnitude + MagnitudeDeviation * random.NextNormal(), 0, HighestMagnitude);
            var sign = random.NextDouble() < 0.5 ? -1 : 1;
            operation.Apply(picture, sign * magnitude / HighestMagnitude, border);
        }
    }

    /// <summary>Applies one operation.</summary>
    internal static void Apply(string operation, PictureEdit picture, double strength, ImagePreprocessing preprocessing) =>
        Table.Single(entry => entry.Name == operation).Apply(picture, strength, Border.Of(preprocessing));

    private static float EnhancementOf(double strength) => (float)Math.Max(0.1, 1 + 0.9 * strength);

    /// <summary>How moved pictures are interpolated and what comes in at their borders.</summary>
    private readonly record struct Border(bool Bicubic, uint Fill)
    {
        public static Border Of(ImagePreprocessing preprocessing)
        {
            var mean = preprocessing.Mean;
            return new(preprocessing.Filter != ResampleFilter.Bilinear, Level(mean.Red) | (Level(mean.Green) << 8) | (Level(mean.Blue) << 16));

            static uint Level(float mean) => (uint)Math.Clamp(Math.Round(255.0 * mean), 0, 255);
        }
    }
}
