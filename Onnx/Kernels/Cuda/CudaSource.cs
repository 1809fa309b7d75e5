namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>A <c>.cu</c> text embedded in this assembly, and the <c>.cuh</c> texts that it may include.</summary>
internal sealed record CudaSource(string Name, string Text, IReadOnlyList<CudaSource> Headers)
{
    private static readonly Lazy<CudaSource[]> EmbeddedHeaders = new(() =>
        [.. typeof(CudaSource).Assembly.GetManifestResourceNames().Where(name => name.EndsWith(".cuh", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal).Select(name => new CudaSource(name, Read(name), []))]);

    /// <summary>The embedded text of this file name.</summary>
    public static CudaSource Embedded(string name) => new(name, Read(name), EmbeddedHeaders.Value);

    private static string Read(string name)
    {
        using var stream = typeof(CudaSource).Assembly.GetManifestResourceStream(name)
            ?? throw new ArgumentException($"this assembly has no embedded CUDA text '{name}'", nameof(name));
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
