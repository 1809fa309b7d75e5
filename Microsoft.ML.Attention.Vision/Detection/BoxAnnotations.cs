using System.Collections.ObjectModel;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The annotations of a data set, put right: boxes are clipped to their picture, and dropped where nothing is left.</summary>
public sealed class BoxAnnotations
{
    private readonly List<AnnotatedPicture> _pictures = [];

    /// <summary>The pictures, those without objects too.</summary>
    public ReadOnlyCollection<AnnotatedPicture> Pictures => _pictures.AsReadOnly();

    /// <summary>The number of boxes that were kept.</summary>
    public int BoxCount { get; private set; }

    /// <summary>How many of them reached beyond the picture.</summary>
    public int ClippedCount { get; private set; }

    /// <summary>How many boxes had no area within the picture and were dropped.</summary>
    public int DroppedCount { get; private set; }

    /// <summary>The numbers as a line for people.</summary>
    public override string ToString() =>
        $"{_pictures.Count} pictures with {BoxCount} boxes ({ClippedCount} clipped to the picture, {DroppedCount} empty ones dropped)";

    internal void Add(string image, double width, double height, IEnumerable<Box> boxes)
    {
        var kept = new List<Box>();
        foreach (var box in boxes)
        {
            var clipped = box with
            {
                Left = Math.Clamp(box.Left, 0, width), Top = Math.Clamp(box.Top, 0, height),
                Right = Math.Clamp(box.Right, 0, width), Bottom = Math.Clamp(box.Bottom, 0, height),
            };
            if (!(clipped.Right > clipped.Left && clipped.Bottom > clipped.Top))
            {
                DroppedCount++;
                continue;
            }
            ClippedCount += clipped == box ? 0 : 1;
            kept.Add(clipped);
        }
        BoxCount += kept.Count;
        _pictures.Add(new()
        {
            Image = image,
            Boxes = [.. kept.SelectMany(box => new[] { box.Left, box.Top, box.Right, box.Bottom }).Select(side => (float)side)],
            Labels = [.. kept.Select(box => box.Label)],
            Ignored = [.. kept.Select(box => box.IsIgnored)],
        });
    }

    /// <summary>A box as a file has it, in pixels.</summary>
    internal readonly record struct Box(double Left, double Top, double Right, double Bottom, string Label, bool IsIgnored);
}
