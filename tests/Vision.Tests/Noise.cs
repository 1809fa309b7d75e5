using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

/// <summary>The pictures of <c>Expected/noise.py</c>: noise with many black and white values, so that sums clip.</summary>
internal static class Noise
{
    public static byte[] Rgbx(int width, int height)
    {
        var state = (uint)(width * 65537 + height);
        var bytes = new byte[width * height * PixelView.BytesPerPixel];
        for (var i = 0; i < bytes.Length; i++)
        {
            if (i % PixelView.BytesPerPixel == 3)
                continue;
            state = state * 1664525 + 1013904223;
            var value = (byte)(state >> 24);
            bytes[i] = value < 32 ? (byte)0 : value >= 224 ? (byte)255 : value;
        }
        return bytes;
    }
}
