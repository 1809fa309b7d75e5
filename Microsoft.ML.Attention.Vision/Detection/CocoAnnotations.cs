using System.Text.Json;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Reads annotations in the format of COCO's instances: one JSON file for a data set.</summary>
public static class CocoAnnotations
{
    /// <summary>Reads the annotations of a data set. Labels are the categories' names.</summary>
    /// <param name="file">The JSON file.</param>
    /// <param name="imageFolder">The folder of the pictures.</param>
    /// <remarks>Boxes of crowds are <see cref="AnnotatedPicture.Ignored"/>.</remarks>
    /// <exception cref="InvalidDataException">The file is not in this format; the message says what is wrong.</exception>
    public static BoxAnnotations Read(string file, string imageFolder)
    {
        ArgumentNullException.ThrowIfNull(imageFolder);
        using var stream = File.OpenRead(file);
        try
        {
            using var json = JsonDocument.Parse(stream);
            return Read(json.RootElement, imageFolder);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new InvalidDataException($"'{file}' is no annotation of the COCO format: {e.Message}", e);
        }
    }

    private static BoxAnnotations Read(JsonElement root, string imageFolder)
    {
        var names = root.GetProperty("categories").EnumerateArray()
            .ToDictionary(category => category.GetProperty("id").GetInt64(), category => category.GetProperty("name").GetString()!);
        var boxes = root.GetProperty("annotations").EnumerateArray()
            .ToLookup(annotation => annotation.GetProperty("image_id").GetInt64(), annotation => ReadBox(annotation, names));
        var annotations = new BoxAnnotations();
        var known = new HashSet<long>();
        foreach (var image in root.GetProperty("images").EnumerateArray())
        {
            var id = image.GetProperty("id").GetInt64();
            known.Add(id);
            annotations.Add(
                Path.Combine(imageFolder, image.GetProperty("file_name").GetString()!),
                image.GetProperty("width").GetDouble(), image.GetProperty("height").GetDouble(), boxes[id]);
        }
        var stray = boxes.FirstOrDefault(group => !known.Contains(group.Key));
        return stray is null ? annotations : throw new FormatException($"an annotation is of image {stray.Key}, which is not listed.");
    }

    private static BoxAnnotations.Box ReadBox(JsonElement annotation, Dictionary<long, string> names)
    {
        var category = annotation.GetProperty("category_id").GetInt64();
        if (!names.TryGetValue(category, out var label))
            throw new FormatException($"an annotation is of category {category}, which is not listed.");
        var sides = annotation.GetProperty("bbox").EnumerateArray().Select(side => side.GetDouble()).ToArray();
        if (sides.Length != 4)
            throw new FormatException($"a bbox has {sides.Length} numbers, not 4.");
        var isCrowd = annotation.TryGetProperty("iscrowd", out var crowd) && crowd.GetInt32() != 0;
        return new(sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3], label, isCrowd);
    }
}
