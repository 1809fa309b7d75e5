using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Pictures in normal light and, of some, the same in low light. Those that come as files are decoded when they are needed.</summary>
internal sealed class LightPictures
{
    private readonly List<(Picture Normal, Picture? Dark, long Row)> _pictures = [];

    public int Count => _pictures.Count;

    /// <summary>Reads a data set.</summary>
    public static LightPictures Read(IDataView data, PictureColumn normal, PictureColumn? dark, CancellationToken cancellation)
    {
        var read = new LightPictures();
        using var cursor = data.GetRowCursor(dark is null ? [normal.Column] : [normal.Column, dark.Column]);
        var normalGetter = normal.CreateGetter(cursor);
        var darkGetter = dark?.CreateGetter(cursor);
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            var picture = darkGetter?.Invoke();
            read._pictures.Add((normalGetter().Keep(), picture is null or { IsEmpty: true } ? null : picture.Keep(), cursor.Position));
        }
        return read;
    }

    /// <summary>Those of which there is a dark one.</summary>
    public LightPictures Pairs()
    {
        var pairs = new LightPictures();
        pairs._pictures.AddRange(_pictures.Where(picture => picture.Dark is not null));
        return pairs;
    }

    /// <summary>Decodes a picture in normal light.</summary>
    /// <exception cref="InvalidDataException">It is not decodable; the message names row, picture and reason.</exception>
    public void DecodeNormal(int index, PixelBuffer pixels) => Decode(_pictures[index].Normal, _pictures[index].Row, pixels);

    /// <summary>Decodes the same picture in low light.</summary>
    /// <exception cref="InvalidDataException">It is not decodable; the message names row, picture and reason.</exception>
    public void DecodeDark(int index, PixelBuffer pixels) => Decode(_pictures[index].Dark!, _pictures[index].Row, pixels);

    private static void Decode(Picture picture, long row, PixelBuffer pixels)
    {
        try
        {
            picture.Decode(pixels);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"row {row}: {e.Message}", e);
        }
    }
}
