using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>A row's picture, to be decoded later and by any thread.</summary>
internal abstract class Picture
{
    /// <summary>Whether there is no picture: an empty path or content.</summary>
    public virtual bool IsEmpty => false;

    /// <summary>Decodes the picture.</summary>
    /// <exception cref="InvalidDataException">It is not a decodable image; the message names column, picture and reason.</exception>
    public abstract void Decode(PixelBuffer pixels);

    /// <summary>A picture that can be decoded after the row has moved on.</summary>
    public virtual Picture Keep() => this;

    protected static InvalidDataException Undecodable(string column, string picture, string reason) =>
        new($"image column '{column}': {picture} is not a decodable image ({reason})");
}

/// <summary>A picture in a file.</summary>
internal sealed class FilePicture(string column, string path) : Picture
{
    public override bool IsEmpty => path.Length == 0;

    public override void Decode(PixelBuffer pixels)
    {
        if (!ImageFile.TryRead(path, pixels, out var reason))
            throw Undecodable(column, $"'{path}'", reason);
    }
}

/// <summary>The content of a picture's file.</summary>
internal sealed class EncodedPicture(string column, byte[] content) : Picture
{
    public override bool IsEmpty => content.Length == 0;

    public override void Decode(PixelBuffer pixels)
    {
        if (!ImageFile.TryDecode(content, pixels, out var reason))
            throw Undecodable(column, $"a content of {content.Length} bytes", reason);
    }
}

/// <summary>A picture that the row owns until it moves on.</summary>
internal sealed class DecodedPicture(MLImage image) : Picture
{
    public override void Decode(PixelBuffer pixels) => MLImagePixels.Copy(image, pixels);

    public override Picture Keep()
    {
        var pixels = new PixelBuffer();
        Decode(pixels);
        return new KeptPicture(pixels);
    }

    private sealed class KeptPicture(PixelBuffer kept) : Picture
    {
        public override void Decode(PixelBuffer pixels) => kept.View.CopyTo(pixels.Reset(kept.Width, kept.Height));
    }
}
