using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// The classes that are to be found in pictures, each told by a few pictures and masks of it: its shots. Classes may differ in how many
/// they have.
/// </summary>
public sealed class SupportSet
{
    /// <summary>The most classes, as many as a byte has values besides background and ignored.</summary>
    internal const int MostClasses = 254;

    private readonly List<(string Label, List<SupportShot> Shots)> _classes = [];

    /// <summary>The names of the classes in the order in which they were added first; the first one is class 1 of masks.</summary>
    public IReadOnlyList<string> Classes => [.. _classes.Select(entry => entry.Label)];

    internal IReadOnlyList<(string Label, List<SupportShot> Shots)> Shots => _classes;

    /// <summary>Adds a picture of a class.</summary>
    /// <param name="label">The name of the class.</param>
    /// <param name="image">The file of the picture.</param>
    /// <param name="mask">The file of its mask, a picture of the same size: black is not the object, all else is.</param>
    /// <returns>This set.</returns>
    public SupportSet Add(string label, string image, string mask)
    {
        ArgumentException.ThrowIfNullOrEmpty(image);
        ArgumentException.ThrowIfNullOrEmpty(mask);
        return Add(label, new FilePicture("support", image), new FilePicture("mask", mask));
    }

    /// <summary>Adds a picture of a class. Picture and mask are copied.</summary>
    /// <param name="label">The name of the class.</param>
    /// <param name="image">The picture.</param>
    /// <param name="mask">Its mask, a picture of the same size: black is not the object, all else is.</param>
    /// <returns>This set.</returns>
    public SupportSet Add(string label, MLImage image, MLImage mask)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(mask);
        return Add(label, new DecodedPicture(image).Keep(), new DecodedPicture(mask).Keep());
    }

    private SupportSet Add(string label, Picture image, Picture mask)
    {
        ArgumentException.ThrowIfNullOrEmpty(label);
        var index = _classes.FindIndex(entry => entry.Label == label);
        if (index < 0)
        {
            if (_classes.Count == MostClasses)
                throw new InvalidOperationException($"A support set has {MostClasses} classes at most; '{label}' would be one more.");
            index = _classes.Count;
            _classes.Add((label, []));
        }
        var shots = _classes[index].Shots;
        shots.Add(new($"shot {shots.Count + 1} of class '{label}'", image, mask));
        return this;
    }
}

/// <summary>A picture of a class with its mask.</summary>
/// <param name="Name">What messages call it.</param>
/// <param name="Image">The picture.</param>
/// <param name="Mask">The mask.</param>
internal sealed record SupportShot(string Name, Picture Image, Picture Mask)
{
    /// <summary>Writes what the model reads: the picture <c>[3, S, S]</c> and the mask <c>[S, S]</c>, of which 1 is the object.</summary>
    /// <exception cref="InvalidDataException">Picture or mask cannot be decoded, are not of one size, or there is no object.</exception>
    public void Write(SegmentationPreprocessing preprocessing, Span<float> values, Span<byte> mask)
    {
        using var pixels = new PixelBuffer();
        Image.Decode(pixels);
        preprocessing.Write(pixels.View, values);
        var size = (pixels.Width, pixels.Height);
        Mask.Decode(pixels);
        if (size != (pixels.Width, pixels.Height))
        {
            throw new InvalidDataException($"{Name}: the picture has {size.Width} x {size.Height} pixels, its mask "
                + $"{pixels.Width} x {pixels.Height}.");
        }
        preprocessing.Write(LabelMap.FromMask(pixels.View), mask);
        if (!mask.Contains((byte)1))
            throw new InvalidDataException($"{Name}: nothing of the object is left in the mask, which is black where the object is not.");
    }
}
