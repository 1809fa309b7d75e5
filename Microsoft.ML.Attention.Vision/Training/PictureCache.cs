using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// The pictures of a data set as pixels. As many as there is room for are kept, so that they are decoded once, not in every epoch.
/// </summary>
/// <param name="samples">The data set.</param>
/// <param name="resize">The preprocessing whose size the pictures are given; null to leave them as they are.</param>
/// <param name="memory">The room for the pictures that are kept.</param>
internal sealed class PictureCache(LabelledPictures samples, ImagePreprocessing? resize, PictureMemory memory)
{
    private readonly Kept?[] _kept = new Kept?[samples.Count];

    public int Count => samples.Count;

    /// <summary>Whether the pictures have the size of the preprocessing.</summary>
    public bool IsResized => resize is not null;

    /// <summary>The class of a picture.</summary>
    public int Label(int index) => samples.Label(index);

    /// <summary>The pixels of a picture. Any number of threads may ask at once.</summary>
    /// <param name="index">Which picture.</param>
    /// <param name="pixels">Memory for a picture that is not kept.</param>
    /// <exception cref="InvalidDataException">It is not decodable; the message names row, picture and reason.</exception>
    public PixelView Get(int index, PixelBuffer pixels)
    {
        if (_kept[index] is { } kept)
            return kept.View;
        if (resize is null)
            samples.Decode(index, pixels);
        else
        {
            using var decoded = new PixelBuffer();
            samples.Decode(index, decoded);
            resize.Resize(decoded.View, pixels.Reset(resize.Width, resize.Height));
        }
        if (memory.TryTake((long)pixels.Width * pixels.Height * PixelView.BytesPerPixel))
            _kept[index] = new(pixels);
        return pixels.View;
    }

    private sealed class Kept
    {
        private readonly byte[] _bytes;
        private readonly int _width;
        private readonly int _height;

        public Kept(PixelBuffer pixels)
        {
            (_width, _height) = (pixels.Width, pixels.Height);
            _bytes = GC.AllocateUninitializedArray<byte>(_width * _height * PixelView.BytesPerPixel);
            pixels.View.CopyTo(_bytes);
        }

        public PixelView View => new(_bytes, _width, _height);
    }
}

/// <summary>An amount of memory that several caches share.</summary>
/// <param name="bytes">The amount.</param>
internal sealed class PictureMemory(long bytes)
{
    private long _left = bytes;

    /// <summary>Takes an amount, if it is left.</summary>
    public bool TryTake(long bytes)
    {
        if (Interlocked.Add(ref _left, -bytes) >= 0)
            return true;
        Interlocked.Add(ref _left, bytes);
        return false;
    }
}
