using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture to train on, with a label for each pixel. Files are decoded whenever they are needed.</summary>
/// <param name="image">The picture.</param>
/// <param name="mask">Its labels, as a picture.</param>
/// <param name="row">The row that it comes from.</param>
internal sealed class SegmentedPicture(Picture image, Picture mask, long row)
{
    /// <summary>The labels in it that are classes, with the number of pixels of each.</summary>
    public IReadOnlyDictionary<byte, int> Areas { get; init; } = new Dictionary<byte, int>();

    /// <exception cref="InvalidDataException">It is not decodable; the message names row, picture and reason.</exception>
    public void Decode(PixelBuffer pixels) => Decode(image, row, pixels);

    /// <summary>Its labels.</summary>
    /// <exception cref="InvalidDataException">They are not decodable; the message names row, picture and reason.</exception>
    public LabelMap DecodeLabels(PixelBuffer pixels)
    {
        Decode(mask, row, pixels);
        return LabelMap.FromLevels(pixels.View);
    }

    /// <summary>
    /// Reads a data set. Pictures with objects of other classes than those that are trained are left out, as in the published protocol.
    /// </summary>
    /// <param name="data">The data set.</param>
    /// <param name="images">The pictures.</param>
    /// <param name="masks">Their labels.</param>
    /// <param name="classes">The labels of the classes to train; null for all.</param>
    /// <param name="channel">Told of what is left out.</param>
    /// <param name="cancellation">Ends the reading.</param>
    public static List<SegmentedPicture> Read(
        IDataView data, PictureColumn images, PictureColumn masks, IReadOnlyCollection<int>? classes, IChannel channel,
        CancellationToken cancellation)
    {
        var pictures = new List<SegmentedPicture>();
        using var cursor = data.GetRowCursor(images.Column, masks.Column);
        var (image, mask) = (images.CreateGetter(cursor), masks.CreateGetter(cursor));
        using var pixels = new PixelBuffer();
        var leftOut = 0;
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            var labels = mask();
            Decode(labels, cursor.Position, pixels);
            var areas = Count(LabelMap.FromLevels(pixels.View));
            if (classes is not null && areas.Keys.Any(label => !classes.Contains(label)))
                leftOut++;
            else
                pictures.Add(new(image().Keep(), labels.Keep(), cursor.Position) { Areas = areas });
        }
        if (leftOut > 0)
            channel.Info($"{leftOut} of {leftOut + pictures.Count} pictures are left out: they have objects of other classes.");
        return pictures;
    }

    private static Dictionary<byte, int> Count(LabelMap map)
    {
        Span<int> counts = stackalloc int[byte.MaxValue + 1];
        counts.Clear();
        foreach (var label in map.Labels)
            counts[label]++;
        var areas = new Dictionary<byte, int>();
        for (var label = 1; label < LabelMap.Ignored; label++)
        {
            if (counts[label] > 0)
                areas[(byte)label] = counts[label];
        }
        return areas;
    }

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
