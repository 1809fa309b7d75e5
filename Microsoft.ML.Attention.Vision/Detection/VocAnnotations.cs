using System.Globalization;
using System.Xml;
using System.Xml.Linq;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Reads annotations in the format of the PASCAL Visual Object Classes: one XML file a picture.</summary>
public static class VocAnnotations
{
    /// <summary>Reads the annotations of pictures.</summary>
    /// <param name="annotationFolder">The folder of <c>ID.xml</c>.</param>
    /// <param name="imageFolder">The folder of the pictures, <c>ID</c> with the extension that the annotation names, or .jpg.</param>
    /// <param name="ids">The names of the pictures without extension; null for all annotations in the folder.</param>
    /// <remarks>
    /// The format counts pixels from 1 and includes the last one, so 1 is taken off the first corner. Boxes whose corners are the same
    /// are empty nevertheless: they come from a click, not from an object of one pixel. Boxes marked as difficult are
    /// <see cref="AnnotatedPicture.Ignored"/>.
    /// </remarks>
    /// <exception cref="InvalidDataException">A file is not such an annotation; the message names it and what is wrong.</exception>
    public static BoxAnnotations Read(string annotationFolder, string imageFolder, IEnumerable<string>? ids = null)
    {
        ArgumentNullException.ThrowIfNull(annotationFolder);
        ArgumentNullException.ThrowIfNull(imageFolder);
        ids ??= Directory.EnumerateFiles(annotationFolder, "*.xml").Select(path => Path.GetFileNameWithoutExtension(path))
            .Order(StringComparer.Ordinal);
        var annotations = new BoxAnnotations();
        foreach (var id in ids)
            Add(annotations, Path.Combine(annotationFolder, id + ".xml"), imageFolder, id);
        return annotations;
    }

    private static void Add(BoxAnnotations annotations, string path, string imageFolder, string id)
    {
        try
        {
            var root = XDocument.Load(path).Root!;
            var extension = Path.GetExtension(root.Element("filename")?.Value) is { Length: > 0 } given ? given : ".jpg";
            var size = root.Element("size") ?? throw new FormatException("it has no element 'size'");
            var (width, height) = (Number(size, "width"), Number(size, "height"));
            if (width <= 0 || height <= 0)
                throw new FormatException($"its picture is {width} x {height} pixels");
            annotations.Add(Path.Combine(imageFolder, id + extension), width, height, root.Elements("object").Select(ReadBox));
        }
        catch (Exception e) when (e is XmlException or FormatException)
        {
            throw new InvalidDataException($"'{path}' is no annotation of the VOC format: {e.Message}.", e);
        }
    }

    private static BoxAnnotations.Box ReadBox(XElement element)
    {
        var box = element.Element("bndbox") ?? throw new FormatException("an object has no element 'bndbox'");
        var label = element.Element("name")?.Value.Trim();
        if (string.IsNullOrEmpty(label))
            throw new FormatException("an object has no name");
        var (left, top, right, bottom) = (Number(box, "xmin"), Number(box, "ymin"), Number(box, "xmax"), Number(box, "ymax"));
        var isIgnored = element.Element("difficult")?.Value.Trim() == "1";
        return right > left && bottom > top
            ? new(left - 1, top - 1, right, bottom, label, isIgnored)
            : new(left, top, left, top, label, isIgnored);
    }

    private static double Number(XElement parent, string name) =>
        double.TryParse(parent.Element(name)?.Value, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number)
            ? number
            : throw new FormatException($"element '{name}' of '{parent.Name}' is '{parent.Element(name)?.Value}', not a number");
}
