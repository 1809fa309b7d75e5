using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The column of enhanced pictures; a row that failed has none.</summary>
/// <param name="name">The column's name.</param>
/// <param name="size">Height and width where all pictures have the same.</param>
internal sealed class EnhancedImageColumn(string name, (int Height, int Width)? size) : OutputColumn(name, ModelOutput)
{
    /// <summary>The model's output of 8-bit pictures, [N, H, W, 3].</summary>
    public const string ModelOutput = "image";

    public override DataViewType Type => size is var (height, width) ? new ImageDataViewType(height, width) : new ImageDataViewType();

    public override Delegate CreateGetter(ScoredRow row)
    {
        var (height, width) = size!.Value;
        var output = row.OutputIndex(ModelOutput);
        return (ValueGetter<MLImage?>)((ref MLImage? value) =>
        {
            if (row.Failure is not null)
            {
                value = null;
                return;
            }
            using var pixels = new PixelBuffer();
            FromRgb(row.Tensor<byte>(output), pixels.Reset(width, height));
            value = ToImage(pixels.View);
        });
    }

    /// <summary>Bytes R, G, B to four a pixel.</summary>
    public static void FromRgb(ReadOnlySpan<byte> rgb, Span<byte> pixels)
    {
        for (var (from, to) = (0, 0); from < rgb.Length; from += 3, to += PixelView.BytesPerPixel)
        {
            rgb.Slice(from, 3).CopyTo(pixels[to..]);
            pixels[to + 3] = 255;
        }
    }

    /// <summary>A picture of its own; every pixel's fourth byte is 255.</summary>
    public static MLImage ToImage(PixelView pixels)
    {
        var bytes = new byte[pixels.Width * pixels.Height * PixelView.BytesPerPixel];
        pixels.CopyTo(bytes);
        return MLImage.CreateFromPixels(pixels.Width, pixels.Height, MLPixelFormat.Rgba32, bytes);
    }
}
