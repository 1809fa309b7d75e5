using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// The pictures and classes of a data set. Pictures that come as files stay files: they are decoded whenever they are needed; those
/// that come decoded are kept in memory.
/// </summary>
internal sealed class LabelledPictures
{
    private readonly List<(Picture Picture, int Label, long Row)> _samples = [];

    public int Count => _samples.Count;

    /// <summary>The class of a picture.</summary>
    public int Label(int index) => _samples[index].Label;

    /// <summary>Decodes a picture.</summary>
    /// <exception cref="InvalidDataException">It is not decodable; the message names row, picture and reason.</exception>
    public void Decode(int index, PixelBuffer pixels)
    {
        var (picture, _, row) = _samples[index];
        try
        {
            picture.Decode(pixels);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"row {row}: {e.Message}", e);
        }
    }

    /// <summary>The classes of all pictures.</summary>
    public int[] Labels => [.. _samples.Select(sample => sample.Label)];

    /// <summary>How many pictures each class has.</summary>
    public int[] CountClasses(int classCount)
    {
        var counts = new int[classCount];
        foreach (var sample in _samples)
            counts[sample.Label]++;
        return counts;
    }

    /// <summary>Reads a data set. Rows without a label are left out, with a warning that counts them.</summary>
    /// <exception cref="InvalidDataException">A label is none of the classes.</exception>
    public static LabelledPictures Read(
        IDataView data, PictureColumn pictures, string labelColumn, int classCount, IChannel channel, CancellationToken cancellation)
    {
        var read = new LabelledPictures();
        var label = data.Schema[labelColumn];
        using var cursor = data.GetRowCursor(pictures.Column, label);
        var (pictureGetter, labelGetter) = (pictures.CreateGetter(cursor), RowCursorUtils.GetLabelGetter(cursor, label.Index));
        var value = 0f;
        var missing = 0;
        while (cursor.MoveNext())
        {
            cancellation.ThrowIfCancellationRequested();
            labelGetter(ref value);
            if (float.IsNaN(value))
                missing++;
            else if (value >= classCount)
            {
                throw new InvalidDataException($"row {cursor.Position}: label column '{labelColumn}' has key {value + 1}, but the training "
                    + $"labels have {classCount} keys: map both data sets with the same fitted MapValueToKey.");
            }
            else
                read._samples.Add((pictureGetter().Keep(), (int)value, cursor.Position));
        }
        if (missing > 0)
            channel.Warning($"{missing} of {missing + read.Count} rows have no label in column '{labelColumn}' and are left out.");
        return read;
    }

    /// <summary>Takes a share of each class away, chosen at random.</summary>
    public LabelledPictures SplitOff(double fraction, int seed)
    {
        var (kept, split) = (new List<(Picture, int, long)>(), new LabelledPictures());
        foreach (var members in _samples.GroupBy(sample => sample.Label).OrderBy(group => group.Key))
        {
            var shuffled = members.ToArray();
            new SampleRandom(seed, epoch: -1, members.Key).Shuffle<(Picture, int, long)>(shuffled);
            var count = (int)Math.Round(shuffled.Length * fraction);
            split._samples.AddRange(shuffled[..count]);
            kept.AddRange(shuffled[count..]);
        }
        _samples.Clear();
        _samples.AddRange(kept);
        return split;
    }
}
