using System.IO.Compression;
using Microsoft.ML.Attention.Vision;

namespace DetectObjects;

/// <summary>
/// The BCCD data set: microscope pictures with boxes around red and white blood cells and platelets, and its own split
/// (github.com/Shenggan/BCCD_Dataset, MIT licence).
/// </summary>
internal sealed class BloodCells
{
    private readonly string _folder;

    private BloodCells(string folder) => _folder = folder;

    /// <summary>Opens the data set.</summary>
    /// <param name="path">A folder with <c>images</c>, <c>annotations</c> and <c>train.txt</c> and so on, or a zip file of one.</param>
    /// <param name="unpacked">Where a zip file is unpacked to.</param>
    public static BloodCells Open(string path, string unpacked)
    {
        if (Directory.Exists(path))
            return new(path);
        if (!File.Exists(path))
            throw new FileNotFoundException($"There is no data set '{path}': give the BCCD data set, a folder or a zip file, with --data.");
        ZipFile.ExtractToDirectory(path, unpacked, overwriteFiles: true);
        return new(unpacked);
    }

    /// <summary>Reads the annotations of parts of the data set.</summary>
    /// <param name="parts"><c>train</c>, <c>val</c> or <c>test</c>.</param>
    public BoxAnnotations Read(params ReadOnlySpan<string> parts)
    {
        var ids = new List<string>();
        foreach (var part in parts)
            ids.AddRange(File.ReadLines(Path.Combine(_folder, part + ".txt")).Select(id => id.Trim()).Where(id => id.Length > 0));
        return VocAnnotations.Read(Path.Combine(_folder, "annotations"), Path.Combine(_folder, "images"), ids);
    }
}
