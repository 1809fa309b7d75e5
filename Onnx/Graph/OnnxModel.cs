using Google.Protobuf;
using Microsoft.ML.Attention.Onnx.Ops;
using Microsoft.ML.Attention.Onnx.Proto;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>An ONNX model: a graph, the functions it calls and the operator sets it needs.</summary>
public sealed class OnnxModel
{
    /// <summary>The standard operator set that graphs are built for.</summary>
    public const long DefaultOpset = 20;

    /// <summary>The version of the file format; 10 is the first in which functions carry everything we use.</summary>
    public long IrVersion { get; set; } = 10;

    /// <summary>The program that wrote the model.</summary>
    public string Producer { get; set; } = "Microsoft.ML.Attention";

    /// <summary>The graph.</summary>
    public required Graph Graph { get; init; }

    /// <summary>The model-local functions.</summary>
    public List<Function> Functions { get; init; } = [];

    /// <summary>The operator sets by domain; the standard domain is the empty string.</summary>
    public Dictionary<string, long> Opsets { get; init; } = new() { [""] = DefaultOpset };

    /// <summary>Free text by key, kept in the file.</summary>
    public Dictionary<string, string> Metadata { get; init; } = [];

    /// <summary>Reads a model file, with weights that are stored in files beside it.</summary>
    /// <param name="path">The model file.</param>
    /// <param name="leaveExternalData">
    /// Whether those weights stay in their files, which must not change, until somebody asks for them: so that a model of any size can be
    /// looked at or rewritten.
    /// </param>
    /// <exception cref="InvalidDataException">
    /// The file is not an ONNX model, or a weight file beside it is missing or too short.
    /// </exception>
    public static OnnxModel Load(string path, bool leaveExternalData = false)
    {
        using var stream = File.OpenRead(path);
        var reader = new ProtoReader(path, Path.GetDirectoryName(Path.GetFullPath(path)), leaveExternalData);
        return Parse(() => ModelProto.Parser.ParseFrom(stream), path, reader);
    }

    /// <summary>Reads a model that holds all of its weights.</summary>
    /// <exception cref="InvalidDataException">The bytes are not an ONNX model, or its weights are stored elsewhere.</exception>
    public static OnnxModel Load(ReadOnlySpan<byte> bytes) => Load(bytes.ToArray(), path: null);

    /// <summary>Reads a model whose weights may be in files beside a path, at which a model need not be.</summary>
    internal static OnnxModel Load(byte[] bytes, string? path)
    {
        var (name, folder) = path is null ? ("model", null) : (path, Path.GetDirectoryName(Path.GetFullPath(path)));
        return Parse(() => ModelProto.Parser.ParseFrom(bytes), name, new(name, folder, leaveExternalData: false));
    }

    /// <summary>
    /// Writes the model. Weights beyond <paramref name="externalDataThreshold"/> bytes in total go to a file of the same name
    /// with <c>.data</c> appended (the format itself ends at 2 GB). Weights that <see cref="Load(string, bool)"/> left in files of the same
    /// folder stay there, and the model refers to them; from another folder they are copied.
    /// </summary>
    /// <exception cref="InvalidOperationException">The weights would go to a file that others of them are still in.</exception>
    public void Save(string path, long externalDataThreshold = 1L << 30)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        var dataPath = path + ".data";
        var (kept, written) = (Kept(folder).ToArray(), Graph.Initializers.Values.Where(tensor => !ProtoWriter.Stays(tensor, folder)));
        var isLarge = written.Sum(tensor => tensor.ByteCount) > externalDataThreshold;
        if (isLarge && Array.Exists(kept, data => data.Path == Path.GetFullPath(dataPath)))
            throw new InvalidOperationException($"'{dataPath}' holds weights that the model refers to; save it under another name.");
        using var external = isLarge ? new ExternalDataWriter(dataPath) : null;
        var proto = new ProtoWriter(external, folder).Write(this);
        using var stream = File.Create(path);
        proto.WriteTo(stream);
    }

    /// <summary>
    /// The model as the bytes of a file, with all of its weights inside, but for those that <see cref="Load(string, bool)"/> left in files:
    /// a session finds them by the entry <c>session.model_external_initializers_file_folder_path</c> of its options.
    /// </summary>
    /// <exception cref="InvalidOperationException">The weights exceed the 2 GB that the format allows in one file.</exception>
    public byte[] ToBytes()
    {
        var total = Graph.Initializers.Values.Where(tensor => tensor.External is null).Sum(tensor => tensor.ByteCount);
        if (total > int.MaxValue - (1 << 20))
        {
            throw new InvalidOperationException(
                $"The weights take {total} bytes, more than one ONNX file holds; use Save, which puts them beside it.");
        }
        return new ProtoWriter(null, null).Write(this).ToByteArray();
    }

    /// <summary>A copy whose nodes and lists can be changed; the tensors and functions are shared.</summary>
    internal OnnxModel Clone() => new()
    {
        IrVersion = IrVersion,
        Producer = Producer,
        Graph = Graph.Clone(),
        Functions = [.. Functions],
        Opsets = new(Opsets),
        Metadata = new(Metadata),
    };

    /// <summary>A copy in one graph: functions that are not this library's operators, such as an exporter's modules, are inlined.</summary>
    internal OnnxModel CloneInlined()
    {
        var copy = Clone();
        Inliner.Inline(copy.Graph, copy.Functions, call => call.Domain != AttentionOp.Domain);
        copy.Functions.RemoveAll(function => function.Domain != AttentionOp.Domain);
        return copy;
    }

    private IEnumerable<ExternalData> Kept(string folder) =>
        Graph.Initializers.Values.Where(tensor => ProtoWriter.Stays(tensor, folder)).Select(tensor => tensor.External!);

    private static OnnxModel Parse(Func<ModelProto> parse, string name, ProtoReader reader)
    {
        ModelProto proto;
        try
        {
            proto = parse();
        }
        catch (InvalidProtocolBufferException error)
        {
            throw new InvalidDataException($"'{name}' is not an ONNX model: {error.Message}", error);
        }
        if (proto.Graph is null)
            throw new InvalidDataException($"'{name}' is not an ONNX model: it has no graph.");
        return reader.Read(proto);
    }
}
