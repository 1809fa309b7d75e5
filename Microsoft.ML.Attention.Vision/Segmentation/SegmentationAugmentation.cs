namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Random changes of the pictures and masks that few-shot segmentation is trained on, of queries and supports alike and each for itself.
/// The defaults are those of the published training on PASCAL.
/// </summary>
public sealed record SegmentationAugmentation
{
    /// <summary>No changes.</summary>
    public static SegmentationAugmentation None { get; } =
        new() { Scale = (1, 1), RotationProbability = 0, BlurProbability = 0, MirrorProbability = 0 };

    /// <summary>
    /// The range of the size of a picture's longer side, as a factor on the model's size. Larger pictures are cut at a random place, smaller
    /// ones lie on ImageNet's mean colour.
    /// </summary>
    public (double Minimum, double Maximum) Scale { get; init; } = (0.9, 1.1);

    /// <summary>The probability of a rotation.</summary>
    public double RotationProbability { get; init; } = 0.5;

    /// <summary>The largest rotation to either side, in degrees.</summary>
    public double Rotation { get; init; } = 10;

    /// <summary>The probability of a blur by a Gaussian of 5 x 5 pixels.</summary>
    public double BlurProbability { get; init; } = 0.5;

    /// <summary>The probability of mirroring left and right.</summary>
    public double MirrorProbability { get; init; } = 0.5;

    /// <summary>The share of the object that a cut is to keep; 32 places are tried for it, the last one is taken as it is.</summary>
    public double KeptShare { get; init; } = 0.85;

    internal void Validate()
    {
        Check(Scale.Minimum > 0 && Scale.Minimum <= Scale.Maximum, nameof(Scale), Scale, "a range of positive numbers");
        Check(RotationProbability is >= 0 and <= 1, nameof(RotationProbability), RotationProbability, "in [0, 1]");
        Check(Rotation is >= 0 and <= 180, nameof(Rotation), Rotation, "in [0, 180]");
        Check(BlurProbability is >= 0 and <= 1, nameof(BlurProbability), BlurProbability, "in [0, 1]");
        Check(MirrorProbability is >= 0 and <= 1, nameof(MirrorProbability), MirrorProbability, "in [0, 1]");
        Check(KeptShare is >= 0 and <= 1, nameof(KeptShare), KeptShare, "in [0, 1]");

        static void Check(bool valid, string name, object value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{name} of the augmentation is {value}; it must be {expected}.");
        }
    }

    /// <summary>Draws where the pixels of a square come from in a picture.</summary>
    /// <param name="random">Random numbers.</param>
    /// <param name="map">The picture's labels.</param>
    /// <param name="label">The label of the object.</param>
    /// <param name="size">The square's side.</param>
    internal SegmentationPlacement Draw(ref SampleRandom random, LabelMap map, byte label, int size)
    {
        const int MostTries = 32;
        var factor = random.NextDouble(Scale.Minimum, Scale.Maximum) * size / Math.Max(map.Width, map.Height);
        var degrees = random.NextDouble() < RotationProbability ? random.NextDouble(-Rotation, Rotation) : 0;
        var isBlurred = random.NextDouble() < BlurProbability;
        var isMirrored = random.NextDouble() < MirrorProbability;
        var objectArea = map.Labels.AsSpan().Count(label) * factor * factor;
        var placement = default(SegmentationPlacement);
        for (var i = 0; i < MostTries; i++)
        {
            placement = SegmentationPlacement.Of(
                map.Width, map.Height, size, factor, degrees, isMirrored, Offset(ref random, map.Width), Offset(ref random, map.Height))
                with { IsBlurred = isBlurred };
            if (placement.Count(map, label, size) >= KeptShare * objectArea)
                break;
        }
        return placement;

        // Where the square begins in the picture, or before it.
        double Offset(ref SampleRandom random, int side)
        {
            var room = (int)Math.Round(side * factor) - size;
            return room > 0 ? random.Next(room + 1) : room / 2;
        }
    }
}
