using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Proto;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>
/// The bytes of an ONNX model and, for one read or made from a file, its path: external weights lie in that folder. The bytes may differ from
/// the file's.
/// </summary>
internal sealed class ModelContent(byte[] bytes, string? path = null)
{
    private const string EntryName = "model.onnx";

    public ReadOnlyMemory<byte> Bytes => bytes;

    /// <summary>What messages call the model.</summary>
    public string DisplayName => path is null ? $"ONNX model of {bytes.Length} bytes" : $"ONNX model '{path}'";

    public static ModelContent FromFile(string path)
    {
        if (!File.Exists(path))
            throw new FileNotFoundException($"ONNX model '{path}' does not exist (looked in '{Path.GetFullPath(path)}').", path);
        return new(File.ReadAllBytes(path), path);
    }

    public InferenceSession Open(SessionOptions options)
    {
        if (path is not null)
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
            options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder);
        }
        return new InferenceSession(bytes, options);
    }

    /// <summary>The model that computes in float16 on CUDA, between inputs and outputs of the same types.</summary>
    /// <exception cref="NotSupportedException">It cannot be converted; the message says why.</exception>
    public ModelContent InHalf() => new(HalfPrecision.Convert(OnnxModel.Load(bytes, path)).ToBytes());

    /// <summary>Writes the model, weights included, as an entry of its own, so that any zip tool gives back a plain .onnx file.</summary>
    public void Save(ModelSaveContext context)
    {
        byte[] whole = ToFile();
        context.SaveBinaryStream(EntryName, writer => writer.Write(whole));
    }

    /// <summary>The content of an .onnx file that needs no other.</summary>
    public byte[] ToFile() => HasExternalWeights() ? OnnxModel.Load(bytes, path).ToBytes() : bytes;

    public static ModelContent Load(ModelLoadContext context)
    {
        using var content = new MemoryStream();
        if (!context.TryLoadBinaryStream(EntryName, reader => reader.BaseStream.CopyTo(content)))
            throw new FormatException($"The saved transformer has no entry '{EntryName}': the model file is damaged.");
        return new(content.ToArray());
    }

    private bool HasExternalWeights() => path is not null
        && ModelProto.Parser.ParseFrom(bytes).Graph.Initializer.Any(i => i.DataLocation == TensorProto.Types.DataLocation.External);
}
