using System.IO.Compression;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Surgery;

/// <summary>Graphs that exporters wrote.</summary>
internal static class ExportedGraph
{
    /// <summary>The graph of a reference case.</summary>
    public static OnnxModel OfCase(string name) => Load(SharedFolder.Find($"goldens/storydiffusion/{name}.onnx.gz"));

    /// <summary>A small UNet that PyTorch exported (Exports/make-exports.py).</summary>
    public static OnnxModel OfPyTorch(string name) => Load(PathOf($"{name}.onnx.gz"));

    /// <summary>What PyTorch computed with it: the part of the name before the hyphen tells its shape.</summary>
    public static IReadOnlyDictionary<string, Tensor> Results(string name)
    {
        using var file = SafetensorsFile.Open(PathOf($"{name.Split('-')[0]}.safetensors"));
        return file.ReadAll();
    }

    private static string PathOf(string file) => Path.Combine(AppContext.BaseDirectory, "Exports", file);

    private static OnnxModel Load(string path)
    {
        using var file = File.OpenRead(path);
        using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        using var bytes = new MemoryStream();
        unzipped.CopyTo(bytes);
        return OnnxModel.Load(bytes.ToArray());
    }
}
