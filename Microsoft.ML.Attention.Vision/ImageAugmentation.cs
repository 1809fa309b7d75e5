using System.Buffers;
using System.Drawing;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Random changes of training pictures, applied anew in each epoch. A sample's changes depend only on seed, epoch and sample, so a
/// training run can be repeated bit for bit with any number of threads.
/// </summary>
public sealed record ImageAugmentation
{
    private const int Attempts = 10;

    /// <summary>No changes: training sees what evaluation sees.</summary>
    public static ImageAugmentation None { get; } = new();

    /// <summary>Mirrored in half of the cases. For small pictures add <see cref="CropPadding"/>.</summary>
    public static ImageAugmentation Flip { get; } = new() { HorizontalFlip = 0.5 };

    /// <summary>
    /// The usual training on ImageNet: a random part of 8 to 100 % of the picture, mirrored in half of the cases, a quarter of them
    /// with a rectangle erased.
    /// </summary>
    public static ImageAugmentation ImageNet { get; } = new() { HorizontalFlip = 0.5, CropArea = (0.08, 1), Erasing = 0.25 };

    /// <summary><see cref="ImageNet"/> with <see cref="Vision.RandAugment"/>: what most published vision transformers are trained with.</summary>
    public static ImageAugmentation ImageNetStrong { get; } = ImageNet with { RandAugment = new() };

    /// <summary>Probability of mirroring left and right, in [0, 1].</summary>
    public double HorizontalFlip { get; init; }

    /// <summary>
    /// The share of the picture's area that a random crop covers, each limit in (0, 1], before it is stretched to the model's size; or
    /// <see langword="null"/> to resize as in evaluation.
    /// </summary>
    public (double Minimum, double Maximum)? CropArea { get; init; }

    /// <summary>Limits of a random crop's width divided by its height.</summary>
    public (double Minimum, double Maximum) CropAspect { get; init; } = (3.0 / 4, 4.0 / 3);

    /// <summary>The resized picture is moved by up to so many pixels in each direction; black comes in at its borders.</summary>
    public int CropPadding { get; init; }

    /// <summary>Further operations on the resized picture; null for none.</summary>
    public RandAugment? RandAugment { get; init; }

    /// <summary>Probability of filling a random rectangle with noise, in [0, 1].</summary>
    public double Erasing { get; init; }

    /// <summary>The share of the picture's area that an erased rectangle covers.</summary>
    public (double Minimum, double Maximum) ErasingArea { get; init; } = (0.02, 1.0 / 3);

    /// <summary>Limits of an erased rectangle's height divided by its width.</summary>
    public (double Minimum, double Maximum) ErasingAspect { get; init; } = (0.3, 1 / 0.3);

    /// <summary>Throws where a setting is out of its range.</summary>
    internal void Validate()
    {
        Check(HorizontalFlip is >= 0 and <= 1, nameof(HorizontalFlip), HorizontalFlip, "in [0, 1]");
        Check(Erasing is >= 0 and <= 1, nameof(Erasing), Erasing, "in [0, 1]");
        RandAugment?.Validate();
        Check(CropPadding >= 0, nameof(CropPadding), CropPadding, "0 or more");
        Check(CropArea is null || IsRange(CropArea.Value, 1), nameof(CropArea), CropArea, "a range within (0, 1]");
        Check(IsRange(ErasingArea, 1), nameof(ErasingArea), ErasingArea, "a range within (0, 1]");
        Check(IsRange(CropAspect, double.MaxValue), nameof(CropAspect), CropAspect, "a range of positive numbers");
        Check(IsRange(ErasingAspect, double.MaxValue), nameof(ErasingAspect), ErasingAspect, "a range of positive numbers");

        static bool IsRange((double Minimum, double Maximum) range, double limit) =>
            range.Minimum > 0 && range.Minimum <= range.Maximum && range.Maximum <= limit;

        static void Check(bool valid, string name, object? value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{name} of the augmentation is {value}; it must be {expected}.");
        }
    }

    /// <summary>Whether pictures are resized as in evaluation, so that they can be kept in their final size.</summary>
    internal bool ResizesAlike => CropArea is null;

    /// <summary>Writes a changed picture as <c>[3, Height, Width]</c> of the preprocessing.</summary>
    internal void Apply(PixelView picture, ImagePreprocessing preprocessing, SampleRandom random, Span<float> destination)
    {
        var (width, height) = (preprocessing.Width, preprocessing.Height);
        var rented = ArrayPool<byte>.Shared.Rent(width * height * PixelView.BytesPerPixel);
        var pixels = rented.AsSpan(0, width * height * PixelView.BytesPerPixel);
        if (ResizesAlike)
            preprocessing.Resize(picture, pixels);
        else
        {
            var crop = picture.Crop(RandomCrop(picture.Width, picture.Height, ref random));
            AntialiasedResize.Resize(crop, width, height, preprocessing.Filter, new Rectangle(0, 0, width, height), pixels);
        }
        Change(pixels, preprocessing, ref random, destination);
        ArrayPool<byte>.Shared.Return(rented);
    }

    /// <summary>Writes a changed picture that has the size of the preprocessing already, where <see cref="ResizesAlike"/>.</summary>
    internal void ApplyResized(PixelView picture, ImagePreprocessing preprocessing, SampleRandom random, Span<float> destination)
    {
        var length = picture.Width * picture.Height * PixelView.BytesPerPixel;
        var rented = ArrayPool<byte>.Shared.Rent(length);
        picture.CopyTo(rented);
        Change(rented.AsSpan(0, length), preprocessing, ref random, destination);
        ArrayPool<byte>.Shared.Return(rented);
    }

    private void Change(Span<byte> pixels, ImagePreprocessing preprocessing, ref SampleRandom random, Span<float> destination)
    {
        var (width, height) = (preprocessing.Width, preprocessing.Height);
        if (CropPadding > 0)
            Move(pixels, width, height, random.Next(2 * CropPadding + 1) - CropPadding, random.Next(2 * CropPadding + 1) - CropPadding);
        if (random.NextDouble() < HorizontalFlip)
            Mirror(pixels, width);
        RandAugment?.Apply(new PictureEdit(pixels, width, height), preprocessing, ref random);
        preprocessing.Normalise(new PixelView(pixels, width, height), destination);
        if (random.NextDouble() < Erasing)
            Erase(destination, width, height, ref random);
    }

    private Rectangle RandomCrop(int width, int height, ref SampleRandom random)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var size = RandomSize((double)width * height, CropArea!.Value, CropAspect, ref random);
            if (size.Width is > 0 && size.Width <= width && size.Height is > 0 && size.Height <= height)
                return new(random.Next(width - size.Width + 1), random.Next(height - size.Height + 1), size.Width, size.Height);
        }
        var cropWidth = Math.Clamp((int)Math.Round(height * CropAspect.Maximum), 1, width);
        var cropHeight = Math.Clamp((int)Math.Round(width / CropAspect.Minimum), 1, height);
        return new((width - cropWidth) / 2, (height - cropHeight) / 2, cropWidth, cropHeight);
    }

    private void Erase(Span<float> planes, int width, int height, ref SampleRandom random)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var (high, wide) = RandomSize((double)width * height, ErasingArea, ErasingAspect, ref random);
            if (wide is 0 || wide >= width || high is 0 || high >= height)
                continue;
            var (left, top) = (random.Next(width - wide + 1), random.Next(height - high + 1));
            for (var row = 0; row < 3 * high; row++)
            {
                var (channel, y) = (row / high, top + row % high);
                foreach (ref var value in planes.Slice((channel * height + y) * width + left, wide))
                    value = random.NextNormal();
            }
            return;
        }
    }

    /// <summary>Draws an area and a ratio (uniform in its logarithm) of width to height.</summary>
    private static (int Width, int Height) RandomSize(
        double area, (double Minimum, double Maximum) share, (double Minimum, double Maximum) ratio, ref SampleRandom random)
    {
        var drawnArea = area * random.NextDouble(share.Minimum, share.Maximum);
        var drawnRatio = Math.Exp(random.NextDouble(Math.Log(ratio.Minimum), Math.Log(ratio.Maximum)));
        return ((int)Math.Round(Math.Sqrt(drawnArea * drawnRatio)), (int)Math.Round(Math.Sqrt(drawnArea / drawnRatio)));
    }

    private static void Move(Span<byte> pixels, int width, int height, int right, int down)
    {
        var stride = width * PixelView.BytesPerPixel;
        var kept = Math.Max(width - Math.Abs(right), 0) * PixelView.BytesPerPixel;
        var (from, to) = (Math.Max(-right, 0) * PixelView.BytesPerPixel, Math.Max(right, 0) * PixelView.BytesPerPixel);
        for (var i = 0; i < height; i++)
        {
            var y = down > 0 ? height - 1 - i : i;
            var row = pixels.Slice(y * stride, stride);
            if (y - down < 0 || y - down >= height || kept == 0)
            {
                row.Clear();
                continue;
            }
            pixels.Slice((y - down) * stride + from, kept).CopyTo(row[to..]);
            row[..to].Clear();
            row[(to + kept)..].Clear();
        }
    }

    private static void Mirror(Span<byte> pixels, int width)
    {
        var whole = MemoryMarshal.Cast<byte, uint>(pixels);
        for (var start = 0; start < whole.Length; start += width)
            whole.Slice(start, width).Reverse();
    }
}
