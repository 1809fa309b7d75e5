using System.Security.Cryptography;
using System.Text;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// Compiled kernels on disk, one file each, named by a hash of all that went into it. Only ever a saving of time: a cache that cannot be
/// read or written, or whose file is damaged, costs a compilation and nothing else.
/// </summary>
/// <param name="directory">Where the files are; null for no cache.</param>
internal sealed class CubinCache(string? directory)
{
    /// <summary>The user's cache, or none where the user has no folder for application data.</summary>
    public static CubinCache ForUser { get; } = new(
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData) is { Length: > 0 } folder
            ? Path.Combine(folder, "Microsoft.ML.Attention", "cubins")
            : null);

    /// <param name="ingredients">All that the result depends on.</param>
    /// <param name="compile">Makes the result where the cache lacks it.</param>
    public byte[] GetOrAdd(IEnumerable<string> ingredients, Func<byte[]> compile)
    {
        if (directory is null)
            return compile();
        var key = SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\0', ingredients)));
        var path = Path.Combine(directory, $"{Convert.ToHexStringLower(key)}.cubin");
        if (Read(path) is { } cached)
            return cached;
        var compiled = compile();
        Write(path, compiled);
        return compiled;
    }

    private static byte[]? Read(string path)
    {
        try
        {
            var content = File.ReadAllBytes(path).AsSpan();
            if (content.Length <= SHA256.HashSizeInBytes)
                return null;
            var image = content[SHA256.HashSizeInBytes..];
            return SHA256.HashData(image).AsSpan().SequenceEqual(content[..SHA256.HashSizeInBytes]) ? image.ToArray() : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void Write(string path, byte[] image)
    {
        var partial = $"{path}.{Guid.NewGuid():N}";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(partial, [.. SHA256.HashData(image), .. image]);
            File.Move(partial, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            TryDelete(partial);
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A leftover partial file has a name that nothing reads.
        }
    }
}
