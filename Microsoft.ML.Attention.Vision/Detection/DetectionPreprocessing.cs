using System.Buffers;
using System.Drawing;
using System.Runtime.CompilerServices;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How a picture becomes the numbers that a detector reads: it is resized with its proportions kept (bilinear), scaled to [0, 1], less the
/// mean and divided by the standard deviation of each channel. In a batch it is in the upper left corner of an area that holds all of its
/// pictures, with zeros around it.
/// </summary>
public sealed record DetectionPreprocessing
{
    private readonly int _shorterSide = 800;
    private readonly int _longerSide = 1333;

    /// <summary>The size that the shorter side is brought to in pixels.</summary>
    public int ShorterSide
    {
        get => _shorterSide;
        init => _shorterSide = Positive(value);
    }

    /// <summary>
    /// The longer side in pixels is about this at most, even if the shorter one becomes less than wanted: the shorter one is rounded first,
    /// so that slender pictures can come out a few pixels longer.
    /// </summary>
    public int LongerSide
    {
        get => _longerSide;
        init => _longerSide = Positive(value);
    }

    /// <summary>Subtracted from each channel after scaling to [0, 1].</summary>
    public RgbValues Mean { get; init; } = new(0.485f, 0.456f, 0.406f);

    /// <summary>Divides each channel after <see cref="Mean"/> is subtracted.</summary>
    public RgbValues StandardDeviation { get; init; } = new(0.229f, 0.224f, 0.225f);

    /// <summary>The least side of a batch in pixels: below, nothing would be left on the coarsest map of proposals.</summary>
    internal const int LeastBatchSide = 64;

    /// <summary>The longest side that a batch can have.</summary>
    internal int LargestSide => Math.Max(LongerSide + 8, LeastBatchSide);

    /// <summary>The size that a picture is resized to, as the published detectors round it.</summary>
    /// <param name="width">The picture's width in pixels.</param>
    /// <param name="height">The picture's height in pixels.</param>
    public (int Width, int Height) ResizedSize(int width, int height)
    {
        var (shorter, longer) = (Math.Min(width, height), Math.Max(width, height));
        var side = ShorterSide;
        if ((double)longer / shorter * side > LongerSide)
            side = Math.Max(1, (int)Math.Round((double)LongerSide * shorter / longer, MidpointRounding.ToEven));
        if (shorter == side)
            return (width, height);
        var other = Math.Min((int)((double)side * longer / shorter), LargestSide);
        return width < height ? (side, other) : (other, side);
    }

    internal void Validate()
    {
        if (LongerSide < ShorterSide)
            throw new ArgumentException($"{nameof(LongerSide)} is {LongerSide}; it must be at least {nameof(ShorterSide)}, {ShorterSide}.");
        if (StandardDeviation is { Red: 0 } or { Green: 0 } or { Blue: 0 })
            throw new ArgumentException($"A standard deviation of 0 in {StandardDeviation} would divide by zero.");
    }

    /// <summary>Resizes a picture and writes it into the upper left corner of planes of zeros.</summary>
    /// <param name="picture">The picture.</param>
    /// <param name="size">The size it is resized to.</param>
    /// <param name="planes">Receives <c>[3, height, planeWidth]</c>.</param>
    /// <param name="planeWidth">The width of the planes.</param>
    internal void Write(PixelView picture, Size size, Span<float> planes, int planeWidth)
    {
        var pixels = ArrayPool<byte>.Shared.Rent(size.Width * size.Height * PixelView.BytesPerPixel);
        AntialiasedResize.Resize(picture, size.Width, size.Height, ResampleFilter.Bilinear, new(Point.Empty, size), pixels);
        Normalise(new PixelView(pixels, size.Width, size.Height), planes, planeWidth);
        ArrayPool<byte>.Shared.Return(pixels);
    }

    private void Normalise(PixelView picture, Span<float> planes, int planeWidth)
    {
        ReadOnlySpan<(float Mean, float Deviation)> channels =
            [(Mean.Red, StandardDeviation.Red), (Mean.Green, StandardDeviation.Green), (Mean.Blue, StandardDeviation.Blue)];
        planes.Clear();
        Span<float> normalised = stackalloc float[256];
        for (var channel = 0; channel < channels.Length; channel++)
        {
            for (var level = 0; level < normalised.Length; level++)
                normalised[level] = (level / 255f - channels[channel].Mean) / channels[channel].Deviation;
            var plane = planes.Slice(channel * (planes.Length / channels.Length), planes.Length / channels.Length);
            for (var y = 0; y < picture.Height; y++)
            {
                var row = picture.Row(y)[channel..];
                var values = plane.Slice(y * planeWidth, picture.Width);
                for (var x = 0; x < values.Length; x++)
                    values[x] = normalised[row[x * PixelView.BytesPerPixel]];
            }
        }
    }

    internal void Save(BinaryWriter writer)
    {
        writer.Write(ShorterSide);
        writer.Write(LongerSide);
        foreach (var value in (ReadOnlySpan<RgbValues>)[Mean, StandardDeviation])
        {
            writer.Write(value.Red);
            writer.Write(value.Green);
            writer.Write(value.Blue);
        }
    }

    internal static DetectionPreprocessing Load(BinaryReader reader)
    {
        var loaded = new DetectionPreprocessing
        {
            ShorterSide = reader.ReadInt32(),
            LongerSide = reader.ReadInt32(),
            Mean = new(reader.ReadSingle(), reader.ReadSingle(), reader.ReadSingle()),
            StandardDeviation = new(reader.ReadSingle(), reader.ReadSingle(), reader.ReadSingle()),
        };
        loaded.Validate();
        return loaded;
    }

    private static int Positive(int value, [CallerMemberName] string name = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value, name);
        return value;
    }
}
