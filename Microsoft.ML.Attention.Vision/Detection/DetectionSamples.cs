using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A picture to train a detector on; it is decoded when it is needed, and kept then as far as there is room.</summary>
internal sealed class DetectionSample(Picture picture, CornerBox[] boxes, int[] classes, long row)
{
    private byte[]? _kept;
    private int _width;
    private int _height;

    public CornerBox[] Boxes => boxes;

    public int[] Classes => classes;

    /// <exception cref="InvalidDataException">The picture is not decodable; the message names row, picture and reason.</exception>
    public PixelView Decode(PixelBuffer pixels, PictureMemory memory)
    {
        if (_kept is { } kept)
            return new(kept, _width, _height);
        try
        {
            picture.Decode(pixels);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"row {row}: {e.Message}", e);
        }
        if (memory.TryTake((long)pixels.Width * pixels.Height * PixelView.BytesPerPixel))
        {
            var copy = new byte[pixels.Width * pixels.Height * PixelView.BytesPerPixel];
            pixels.View.CopyTo(copy);
            (_width, _height) = (pixels.Width, pixels.Height);
            Volatile.Write(ref _kept, copy);
        }
        return pixels.View;
    }

    /// <summary>Reads a data set; boxes that are ignored or have no class are left out.</summary>
    public static List<DetectionSample> Read(
        IDataView data, PictureColumn pictures, AnnotationColumns columns, IReadOnlyList<string> classes, IChannel channel,
        CancellationToken cancellation)
    {
        var (boxColumn, labelColumn) = (data.Schema[columns.Boxes], data.Schema[columns.Labels]);
        var ignoredColumn = columns.Ignored is { } name ? data.Schema.GetColumnOrNull(name) : null;
        DataViewSchema.Column[] needed = [pictures.Column, boxColumn, labelColumn];
        using var cursor = data.GetRowCursor(ignoredColumn is { } flags ? [.. needed, flags] : needed);
        var (picture, boxes, labels) = (
            pictures.CreateGetter(cursor), cursor.GetGetter<VBuffer<float>>(boxColumn), LabelColumn.CreateGetter(cursor, labelColumn));
        var ignored = ignoredColumn is { } column ? cursor.GetGetter<VBuffer<bool>>(column) : null;
        var places = classes.Select((label, place) => (label, place)).ToDictionary(pair => pair.label, pair => pair.place);
        var samples = new List<DetectionSample>();
        VBuffer<float> sides = default;
        VBuffer<bool> isIgnored = default;
        var leftOut = 0;
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            boxes(ref sides);
            ignored?.Invoke(ref isIgnored);
            var (all, names, skipped) = (DetectionEvaluator.Boxes([.. sides.DenseValues()]), labels(), isIgnored.DenseValues().ToArray());
            if (sides.Length % 4 != 0 || names.Length != all.Length)
                throw new InvalidDataException(
                    $"row {cursor.Position}: there are {sides.Length} numbers in '{columns.Boxes}' and {names.Length} classes in "
                    + $"'{columns.Labels}'; there must be four numbers for each class.");
            var kept = Enumerable.Range(0, all.Length).Where(i =>
                names[i] is { } label && places.ContainsKey(label) && !(i < skipped.Length && skipped[i]) && all[i].Area > 0).ToArray();
            leftOut += all.Length - kept.Length;
            samples.Add(new(
                picture().Keep(), [.. kept.Select(i => all[i])], [.. kept.Select(i => places[names[i]!])], cursor.Position));
        }
        if (leftOut > 0)
            channel.Info($"{leftOut} boxes are left out: they are ignored, have no class that is trained, or no area.");
        return samples;
    }
}
