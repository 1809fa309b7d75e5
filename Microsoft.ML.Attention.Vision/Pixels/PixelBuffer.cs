using System.Buffers;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>A picture whose pooled memory is used again for the next one. Not thread-safe: one a worker.</summary>
internal sealed class PixelBuffer : IDisposable
{
    private byte[] _bytes = [];

    public int Width { get; private set; }

    public int Height { get; private set; }

    public PixelView View => new(_bytes, Width, Height);

    /// <summary>Makes room for a picture and returns its bytes, <c>[height, width, 4]</c>, with whatever they hold.</summary>
    public Span<byte> Reset(int width, int height)
    {
        var length = checked(width * height * PixelView.BytesPerPixel);
        if (_bytes.Length < length)
        {
            Dispose();
            _bytes = ArrayPool<byte>.Shared.Rent(length);
        }
        (Width, Height) = (width, height);
        return _bytes.AsSpan(0, length);
    }

    public void Dispose()
    {
        if (_bytes.Length > 0)
            ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = [];
    }
}
