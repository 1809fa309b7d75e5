namespace Sweep;

/// <summary>A picture file whose class is the name of its folder.</summary>
internal sealed record PictureFile(string Image, string Label)
{
    /// <summary>The pictures under a folder with a folder for each class.</summary>
    /// <exception cref="InvalidDataException">They are not of two classes at least.</exception>
    public static IReadOnlyList<PictureFile> Find(string folder)
    {
        PictureFile[] pictures =
        [
            .. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
                .Where(path => Path.GetExtension(path).ToLowerInvariant() is ".png" or ".jpg" or ".jpeg" or ".bmp" or ".webp")
                .Order(StringComparer.Ordinal)
                .Select(path => new PictureFile(path, Path.GetFileName(Path.GetDirectoryName(path))!)),
        ];
        var classes = pictures.Select(picture => picture.Label).Distinct().Count();
        return classes >= 2 ? pictures : throw new InvalidDataException(
            $"Folders with pictures under '{folder}': {classes}. --data takes a folder with a folder of pictures for each of two classes "
            + "or more.");
    }
}
