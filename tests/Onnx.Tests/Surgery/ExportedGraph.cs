using System.IO.Compression;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>The exported graphs of the reference cases.</summary>
internal static class ExportedGraph
{
    public static OnnxModel Load(string name)
    {
        using var file = File.OpenRead(SharedFolder.Find($"goldens/storydiffusion/{name}.onnx.gz"));
        using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        unzipped.CopyTo(bytes);
        return OnnxModel.Load(bytes.ToArray());
    }
}
