using System.Runtime.InteropServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>Copies the pixels of an <see cref="MLImage"/>, which are premultiplied by their alpha, as straight RGB.</summary>
internal static class MLImagePixels
{
    public static void Copy(MLImage image, PixelBuffer picture)
    {
        var blueFirst = image.PixelFormat switch
        {
            MLPixelFormat.Bgra32 => true,
            MLPixelFormat.Rgba32 => false,
            var format => throw new NotSupportedException($"Pixel format {format} of an image is not one of Bgra32 and Rgba32."),
        };
        var source = MemoryMarshal.Cast<byte, uint>(image.Pixels);
        var destination = MemoryMarshal.Cast<byte, uint>(picture.Reset(image.Width, image.Height));
        for (var i = 0; i < destination.Length; i++)
        {
            var pixel = source[i];
            if (blueFirst)
                pixel = (pixel & 0xFF00FF00) | ((pixel >> 16) & 0xFF) | ((pixel & 0xFF) << 16);
            destination[i] = pixel >= 0xFF000000 ? pixel : DivideByAlpha(pixel);
        }
    }

    private static uint DivideByAlpha(uint pixel)
    {
        var alpha = pixel >> 24;
        return alpha == 0 ? 0 : Channel(0) | (Channel(8) << 8) | (Channel(16) << 16) | (alpha << 24);

        uint Channel(int shift) => Math.Min((((pixel >> shift) & 0xFF) * 255 + alpha / 2) / alpha, 255);
    }
}
