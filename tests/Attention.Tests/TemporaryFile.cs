namespace Microsoft.ML.Attention.Tests;

/// <summary>A path that is cleaned up.</summary>
internal sealed class TemporaryFile(string extension) : IDisposable
{
    public string Path { get; } = System.IO.Path.Combine(System.IO.Path.GetTempPath(), Guid.NewGuid().ToString("N") + extension);

    public void Dispose() => File.Delete(Path);
}
