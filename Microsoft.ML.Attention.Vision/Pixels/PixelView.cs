using System.Drawing;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>A rectangle of 8-bit pixels owned by someone else: four bytes a pixel, R, G, B and one that is ignored.</summary>
internal readonly ref struct PixelView
{
    public const int BytesPerPixel = 4;

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly int _stride;

    public PixelView(ReadOnlySpan<byte> bytes, int width, int height) : this(bytes, width, height, width * BytesPerPixel)
    {
    }

    private PixelView(ReadOnlySpan<byte> bytes, int width, int height, int stride)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(height);
        var length = (long)(height - 1) * stride + width * BytesPerPixel;
        if (bytes.Length < length)
            throw new ArgumentException($"{width} x {height} pixels need {length} bytes but there are {bytes.Length}.", nameof(bytes));
        _bytes = bytes;
        (Width, Height, _stride) = (width, height, stride);
    }

    public int Width { get; }

    public int Height { get; }

    public ReadOnlySpan<byte> Row(int y) => _bytes.Slice(y * _stride, Width * BytesPerPixel);

    public void CopyTo(Span<byte> destination)
    {
        for (var y = 0; y < Height; y++)
            Row(y).CopyTo(destination[(y * Width * BytesPerPixel)..]);
    }

    public PixelView Crop(Rectangle window)
    {
        if (!new Rectangle(0, 0, Width, Height).Contains(window))
            throw new ArgumentOutOfRangeException(nameof(window), window, $"The window is not inside the picture of {Width} x {Height}.");
        return new(_bytes[(window.Y * _stride + window.X * BytesPerPixel)..], window.Width, window.Height, _stride);
    }
}
