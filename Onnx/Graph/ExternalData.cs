namespace Microsoft.ML.Attention.Onnx;

/// <summary>Where a weight lies that is stored in a file beside its model.</summary>
/// <param name="Folder">The model's folder.</param>
/// <param name="Location">The file, relative to the folder.</param>
/// <param name="Offset">Where the weight begins in the file.</param>
/// <param name="Length">The number of bytes.</param>
internal sealed record ExternalData(string Folder, string Location, long Offset, long Length)
{
    public string Path => System.IO.Path.GetFullPath(System.IO.Path.Combine(Folder, Location));

    /// <summary>Reads the bytes from the file.</summary>
    /// <exception cref="InvalidDataException">The file is not there any more, or too short.</exception>
    public byte[] Read()
    {
        try
        {
            using var file = File.OpenHandle(Path);
            var bytes = new byte[Length];
            for (var done = 0; done < bytes.Length;)
            {
                var read = RandomAccess.Read(file, bytes.AsSpan(done), Offset + done);
                if (read == 0)
                    throw new InvalidDataException($"'{Path}' ended while a weight was read.");
                done += read;
            }
            return bytes;
        }
        catch (FileNotFoundException error)
        {
            throw new InvalidDataException($"'{Path}', which holds weights, is not there any more.", error);
        }
    }
}
