using System.Drawing;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture on a page, or the page: bytes R, G, B and one that is 255, row by row. Not changed once it is made.</summary>
internal sealed class PagePicture
{
    private readonly byte[] _pixels;

    /// <summary>Takes bytes that nobody changes any more, four a pixel.</summary>
    public PagePicture(byte[] pixels, int width, int height) => (_pixels, Width, Height) = (pixels, width, height);

    public int Width { get; }

    public int Height { get; }

    public PixelView View => new(_pixels, Width, Height);

    /// <summary>A picture of one colour.</summary>
    public static PagePicture Blank(int width, int height, byte level)
    {
        var pixels = new byte[checked(width * height * PixelView.BytesPerPixel)];
        Array.Fill(pixels, level);
        for (var i = 3; i < pixels.Length; i += PixelView.BytesPerPixel)
            pixels[i] = 255;
        return new(pixels, width, height);
    }

    /// <summary>Pictures from left to right, their upper edges in line, black below those that are lower.</summary>
    public static PagePicture Beside(IReadOnlyList<PagePicture> pictures)
    {
        var row = Blank(pictures.Sum(picture => picture.Width), pictures.Max(picture => picture.Height), 0);
        var x = 0;
        foreach (var picture in pictures)
        {
            row.Paste(picture, x, 0);
            x += picture.Width;
        }
        return row;
    }

    /// <summary>Pictures from top to bottom, all made as wide as the narrowest.</summary>
    public static PagePicture Stack(IReadOnlyList<PagePicture> pictures)
    {
        var width = pictures.Min(picture => picture.Width);
        PagePicture[] scaled = [.. pictures.Select(picture => picture.Resize(width, (int)((double)width * picture.Height / picture.Width)))];
        var column = Blank(width, scaled.Sum(picture => picture.Height), 0);
        var y = 0;
        foreach (var picture in scaled)
        {
            column.Paste(picture, 0, y);
            y += picture.Height;
        }
        return column;
    }

    /// <summary>The picture with a white border of so many pixels.</summary>
    public PagePicture Frame(int border)
    {
        var framed = Blank(Width + 2 * border, Height + 2 * border, 255);
        framed.Paste(this, border, border);
        return framed;
    }

    /// <summary>The picture at half its width and height.</summary>
    public PagePicture Half() => Resize(Width / 2, Height / 2);

    /// <summary>The picture at another size.</summary>
    public PagePicture Resize(int width, int height)
    {
        if ((width, height) == (Width, Height))
            return this;
        var pixels = new byte[width * height * PixelView.BytesPerPixel];
        AntialiasedResize.Resize(View, width, height, ResampleFilter.Lanczos, new Rectangle(0, 0, width, height), pixels);
        return new(pixels, width, height);
    }

    /// <summary>A copy for ML.NET.</summary>
    public MLImage ToImage() => MLImage.CreateFromPixels(Width, Height, MLPixelFormat.Rgba32, _pixels);

    private void Paste(PagePicture picture, int left, int top)
    {
        for (var y = 0; y < picture.Height; y++)
            picture.View.Row(y).CopyTo(_pixels.AsSpan(((top + y) * Width + left) * PixelView.BytesPerPixel));
    }
}
