using Microsoft.ML.Data;
using SkiaSharp;

namespace Vision.Tests;

/// <summary>Pictures of 40 x 32 pixels: grey noise with a disc of a class's colour, and one of another class beside it.</summary>
internal static class DrawnObjects
{
    public const int Width = 40, Height = 32;

    /// <summary>The number of classes; neighbours are unlike each other.</summary>
    public const int ClassCount = 16;

    /// <summary>A picture and its labels.</summary>
    public static (MLImage Image, MLImage Mask) Draw(int label, int other, int seed)
    {
        var random = new Random(seed);
        var (image, mask) = (new byte[Width * Height * 4], new byte[Width * Height * 4]);
        for (var i = 0; i < image.Length; i++)
            image[i] = (byte)(i % 4 == 3 ? 255 : 100 + random.Next(60));
        for (var i = 3; i < mask.Length; i += 4)
            mask[i] = 255;
        Disc(other, random.Next(24, 36), random.Next(4, 28));
        Disc(label, random.Next(6, 20), random.Next(6, 26));
        return (Create(image), Create(mask));

        void Disc(int disc, int centreX, int centreY)
        {
            var radius = random.Next(4, 8);
            for (var i = 0; i < Width * Height; i++)
            {
                var (x, y) = ((i % Width) - centreX, (i / Width) - centreY);
                if ((x * x) + (y * y) > radius * radius)
                    continue;
                var colour = SKColor.FromHsv(disc * 7 % ClassCount * 360f / ClassCount, 85, 90);
                (image[4 * i], image[(4 * i) + 1], image[(4 * i) + 2]) = (colour.Red, colour.Green, colour.Blue);
                mask.AsSpan(4 * i, 3).Fill((byte)disc);
            }
        }
    }

    /// <summary>The mask of one class, white on black.</summary>
    public static MLImage Only(MLImage mask, int label)
    {
        var pixels = mask.Pixels.ToArray();
        for (var i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)(i % 4 == 3 || pixels[i] == label ? 255 : 0);
        return Create(pixels);
    }

    private static MLImage Create(byte[] pixels) => MLImage.CreateFromPixels(Width, Height, MLPixelFormat.Rgba32, pixels);
}
