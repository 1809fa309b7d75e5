using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Plots;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Writes captions into pictures: lines at the bottom, in the middle, on a white that lets the picture through.</summary>
internal static class Captions
{
    // Of StoryDiffusion's pictures, 768 pixels wide: height of a capital letter, gap between lines, and box around a line.
    private const float Width = 768, CapHeight = 31, Gap = 20, Margin = 5, LeastCapHeight = 6;

    private static readonly SKColor Paper = SKColors.White.WithAlpha(200);

    /// <summary>The picture with its caption; as it is where that says nothing.</summary>
    public static PagePicture Write(PagePicture picture, string caption)
    {
        var words = caption.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0)
            return picture;
        var scale = Math.Max(picture.Width / Width, LeastCapHeight / CapHeight);
        var pixels = new byte[picture.Width * picture.Height * 4];
        picture.View.CopyTo(pixels);
        var pinned = GCHandle.Alloc(pixels, GCHandleType.Pinned);
        try
        {
            var info = new SKImageInfo(picture.Width, picture.Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
            using var surface = SKSurface.Create(info, pinned.AddrOfPinnedObject());
            var baseline = picture.Height - Gap * scale;
            foreach (var line in Lines(words, CapHeight * scale, picture.Width - 2 * Margin * scale).Reverse())
            {
                WriteLine(surface.Canvas, line, picture.Width, baseline, scale);
                baseline -= (CapHeight + Gap) * scale;
            }
        }
        finally
        {
            pinned.Free();
        }
        return new(pixels, picture.Width, picture.Height);
    }

    private static void WriteLine(SKCanvas canvas, string line, int pictureWidth, float baseline, float scale)
    {
        var (size, margin) = (CapHeight * scale, Margin * scale);
        var width = StrokeFont.Width(line, size);
        var left = (pictureWidth - width) / 2;
        using var paper = new SKPaint { Color = Paper };
        // Letters reach a third of their height below the line.
        canvas.DrawRect(SKRect.Create(left - margin, baseline - size - margin, width + 2 * margin, size * 4 / 3 + 2 * margin), paper);
        StrokeFont.Draw(canvas, line, left, baseline, size, SKColors.Black);
    }

    // As many words in a line as it has room for, at least one.
    private static IEnumerable<string> Lines(string[] words, float size, float width)
    {
        var line = words[0];
        foreach (var word in words.Skip(1))
        {
            if (StrokeFont.Width($"{line} {word}", size) > width)
            {
                yield return line;
                line = word;
            }
            else
                line += $" {word}";
        }
        yield return line;
    }
}
