using System.Buffers;
using System.Drawing;
using System.Runtime.CompilerServices;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// How a picture becomes the numbers that a model reads: resize, centre crop, scale to [0, 1], subtract the mean and divide by the
/// standard deviation of each channel. The result is a float plane each for red, green and blue, <c>[3, Height, Width]</c>.
/// </summary>
/// <remarks>
/// Equal bit for bit to Pillow and torchvision: grey is repeated in the three channels, alpha is dropped, and the EXIF orientation is
/// ignored (turn photos upright before, if yours carry it). A saved model keeps its preprocessing.
/// </remarks>
public sealed record ImagePreprocessing
{
    private readonly int _height = 224;
    private readonly int _width = 224;
    private readonly int? _shorterSide;

    /// <summary>Height of the result in pixels, 224 unless set.</summary>
    public int Height
    {
        get => _height;
        init => _height = Positive(value);
    }

    /// <summary>Width of the result in pixels, 224 unless set.</summary>
    public int Width
    {
        get => _width;
        init => _width = Positive(value);
    }

    /// <summary>
    /// The size that the picture's shorter side is brought to, with its proportions kept, before the centre crop to
    /// <see cref="Height"/> x <see cref="Width"/>; or <see langword="null"/> to stretch the picture to them without a crop.
    /// </summary>
    public int? ShorterSide
    {
        get => _shorterSide;
        init => _shorterSide = value is null ? null : Positive(value.Value);
    }

    /// <summary>The resampling filter, bicubic unless set.</summary>
    public ResampleFilter Filter { get; init; } = ResampleFilter.Bicubic;

    /// <summary>Subtracted from each channel after scaling to [0, 1].</summary>
    public RgbValues Mean { get; init; }

    /// <summary>Divides each channel after <see cref="Mean"/> is subtracted.</summary>
    public RgbValues StandardDeviation { get; init; } = new(1, 1, 1);

    internal int ValueCount => 3 * Height * Width;

    /// <summary>
    /// The usual evaluation on ImageNet: shorter side to 256/224 of <paramref name="size"/> (bicubic), centre crop, ImageNet's mean and
    /// standard deviation.
    /// </summary>
    /// <param name="size">Height and width of the result in pixels.</param>
    public static ImagePreprocessing ImageNet(int size = 224) =>
        Stretch(size, size) with { ShorterSide = (int)(size * 256L / 224) };

    /// <summary>Stretches the picture to the size (bicubic); ImageNet's mean and standard deviation.</summary>
    /// <param name="height">Height of the result in pixels.</param>
    /// <param name="width">Width of the result in pixels.</param>
    public static ImagePreprocessing Stretch(int height, int width) => new()
    {
        Height = height,
        Width = width,
        Mean = new(0.485f, 0.456f, 0.406f),
        StandardDeviation = new(0.229f, 0.224f, 0.225f),
    };

    /// <summary>
    /// What a published model was evaluated with: the centre crop, filter, mean and standard deviation of
    /// <see cref="ImageClassifierConfig.Input"/>.
    /// </summary>
    /// <param name="architecture">The architecture.</param>
    public static ImagePreprocessing For(ImageClassifierConfig architecture)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        var (mean, deviation) = (architecture.Input.Mean, architecture.Input.StandardDeviation);
        return new()
        {
            Height = architecture.Input.Size,
            Width = architecture.Input.Size,
            ShorterSide = (int)Math.Floor(architecture.Input.Size / architecture.Input.CropFraction),
            Filter = architecture.Input.IsBicubic ? ResampleFilter.Bicubic : ResampleFilter.Bilinear,
            Mean = new(mean.Red, mean.Green, mean.Blue),
            StandardDeviation = new(deviation.Red, deviation.Green, deviation.Blue),
        };
    }

    /// <summary>Throws where the settings contradict each other.</summary>
    internal void Validate()
    {
        if (ShorterSide < Math.Max(Height, Width))
        {
            throw new ArgumentException($"A shorter side of {ShorterSide} pixels has no room for a crop of {Height} x {Width}; " +
                $"make it at least {Math.Max(Height, Width)}.");
        }
        if (!Enum.IsDefined(Filter))
            throw new ArgumentException($"{Filter} is not a resampling filter.");
        if (StandardDeviation is { Red: 0 } or { Green: 0 } or { Blue: 0 })
            throw new ArgumentException($"A standard deviation of 0 in {StandardDeviation} would divide by zero.");
    }

    /// <summary>Writes the <see cref="ValueCount"/> numbers of a picture, e.g. into its slice of a batch.</summary>
    internal void Apply(PixelView picture, Span<float> destination)
    {
        var pixels = ArrayPool<byte>.Shared.Rent(Height * Width * PixelView.BytesPerPixel);
        Resize(picture, pixels);
        Normalise(new PixelView(pixels, Width, Height), destination);
        ArrayPool<byte>.Shared.Return(pixels);
    }

    /// <summary>Resizes and crops a picture into 8-bit pixels <c>[Height, Width, 4]</c>.</summary>
    internal void Resize(PixelView picture, Span<byte> destination)
    {
        var (width, height) = ResizedSize(picture.Width, picture.Height);
        AntialiasedResize.Resize(picture, width, height, Filter, CentreCrop(width, height), destination);
    }

    /// <summary>Scales and normalises a picture that has the right size already.</summary>
    internal void Normalise(PixelView picture, Span<float> destination)
    {
        if (picture.Width != Width || picture.Height != Height || destination.Length != ValueCount)
        {
            throw new ArgumentException(
                $"A picture of {picture.Height} x {picture.Width} and {destination.Length} values do not fit [3, {Height}, {Width}].");
        }
        ReadOnlySpan<(float Mean, float Deviation)> channels =
            [(Mean.Red, StandardDeviation.Red), (Mean.Green, StandardDeviation.Green), (Mean.Blue, StandardDeviation.Blue)];
        Span<float> normalised = stackalloc float[256];
        for (var channel = 0; channel < channels.Length; channel++)
        {
            for (var level = 0; level < normalised.Length; level++)
                normalised[level] = (level / 255f - channels[channel].Mean) / channels[channel].Deviation;
            for (var y = 0; y < Height; y++)
            {
                var row = picture.Row(y)[channel..];
                var values = destination.Slice((channel * Height + y) * Width, Width);
                for (var x = 0; x < values.Length; x++)
                    values[x] = normalised[row[x * PixelView.BytesPerPixel]];
            }
        }
    }

    internal void Save(BinaryWriter writer)
    {
        writer.Write(Height);
        writer.Write(Width);
        writer.Write(ShorterSide ?? 0);
        writer.Write((int)Filter);
        foreach (var value in (ReadOnlySpan<RgbValues>)[Mean, StandardDeviation])
        {
            writer.Write(value.Red);
            writer.Write(value.Green);
            writer.Write(value.Blue);
        }
    }

    internal static ImagePreprocessing Load(BinaryReader reader)
    {
        var loaded = new ImagePreprocessing
        {
            Height = reader.ReadInt32(),
            Width = reader.ReadInt32(),
            ShorterSide = reader.ReadInt32() is not 0 and var side ? side : null,
            Filter = (ResampleFilter)reader.ReadInt32(),
            Mean = new(reader.ReadSingle(), reader.ReadSingle(), reader.ReadSingle()),
            StandardDeviation = new(reader.ReadSingle(), reader.ReadSingle(), reader.ReadSingle()),
        };
        loaded.Validate();
        return loaded;
    }

    private (int Width, int Height) ResizedSize(int width, int height) =>
        ShorterSide is not { } side ? (Width, Height)
        : width <= height ? (side, checked((int)((long)side * height / width)))
        : (checked((int)((long)side * width / height)), side);

    private Rectangle CentreCrop(int width, int height) =>
        new((int)Math.Round((width - Width) / 2.0), (int)Math.Round((height - Height) / 2.0), Width, Height);

    private static int Positive(int value, [CallerMemberName] string name = "")
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(value, name);
        return value;
    }
}
