using System.IO.Enumeration;
using System.Security.Cryptography;
using System.Text;

namespace BatchScoring.Input;

/// <summary>The files to score, in an order that every run and every shard agrees on.</summary>
internal sealed class InputList
{
    private InputList(string[] paths)
    {
        Paths = paths;
        Digest = DigestOf(paths);
    }

    public string[] Paths { get; }

    /// <summary>SHA-256 over the paths in order; tells a resumed run that the list is still the same.</summary>
    public string Digest { get; }

    /// <summary>
    /// Reads a folder (recursively, the files with one of the extensions, in ordinal order), a text file (one path a line, in its own
    /// order) or, for "-", the same from <paramref name="standardInput"/>.
    /// </summary>
    public static InputList Read(string source, IReadOnlyCollection<string> extensions, TextReader standardInput)
    {
        try
        {
            if (source == "-")
                return FromLines(standardInput);
            if (Directory.Exists(source))
                return new(FilesUnder(source, extensions));
            if (!File.Exists(source))
            {
                throw new JobException(ExitCode.Usage,
                    $"Input '{source}' does not exist; name a folder, a text file with one path a line, or -.");
            }
            using var lines = new StreamReader(source);
            return FromLines(lines);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new JobException(ExitCode.Usage, $"Input '{source}' cannot be listed: {error.Message}", error);
        }
    }

    private static InputList FromLines(TextReader reader)
    {
        var paths = new List<string>();
        while (reader.ReadLine() is { } line)
        {
            if (line.Length > 0)
                paths.Add(line);
        }
        return new([.. paths]);
    }

    private static string[] FilesUnder(string folder, IReadOnlyCollection<string> extensions)
    {
        var known = extensions.Select(extension => "." + extension.TrimStart('.')).ToHashSet(StringComparer.OrdinalIgnoreCase);
        var everything = new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = false, AttributesToSkip = 0 };
        var files = new FileSystemEnumerable<string>(folder, (ref entry) => entry.ToSpecifiedFullPath(), everything)
        {
            ShouldIncludePredicate = (ref entry) => !entry.IsDirectory && known.Contains(Path.GetExtension(entry.FileName).ToString()),
            // A link to a folder can close a circle.
            ShouldRecursePredicate = (ref entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };
        var paths = files.ToArray();
        Array.Sort(paths, StringComparer.Ordinal);
        return paths;
    }

    private static string DigestOf(string[] paths)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var path in paths)
            hash.AppendData(Encoding.UTF8.GetBytes(path + '\0'));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
