using Google.Protobuf;
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
    /// <exception cref="InvalidDataException">
    /// The file is not an ONNX model, or a weight file beside it is missing or too short.
    /// </exception>
    public static OnnxModel Load(string path)
    {
        using var stream = File.OpenRead(path);
        return Parse(() => ModelProto.Parser.ParseFrom(stream), path, Path.GetDirectoryName(Path.GetFullPath(path)));
    }

    /// <summary>Reads a model that holds all of its weights.</summary>
    /// <exception cref="InvalidDataException">The bytes are not an ONNX model, or its weights are stored elsewhere.</exception>
    public static OnnxModel Load(ReadOnlySpan<byte> bytes)
    {
        var copy = bytes.ToArray();
        return Parse(() => ModelProto.Parser.ParseFrom(copy), "model", null);
    }

    /// <summary>
    /// Writes the model. Weights beyond <paramref name="externalDataThreshold"/> bytes in total go to a file of the same name
    /// with <c>.data</c> appended (the format itself ends at 2 GB).
    /// </summary>
    public void Save(string path, long externalDataThreshold = 1L << 30)
    {
        var total = Graph.Initializers.Values.Sum(tensor => (long)tensor.Data.Length);
        using var external = total > externalDataThreshold ? new ExternalDataWriter(path + ".data") : null;
        using var stream = File.Create(path);
        new ProtoWriter(external).Write(this).WriteTo(stream);
    }

    /// <summary>The model as the bytes of a file, with all of its weights inside.</summary>
    /// <exception cref="InvalidOperationException">The weights exceed the 2 GB that the format allows in one file.</exception>
    public byte[] ToBytes()
    {
        var total = Graph.Initializers.Values.Sum(tensor => (long)tensor.Data.Length);
        if (total > int.MaxValue - (1 << 20))
        {
            throw new InvalidOperationException(
                $"The weights take {total} bytes, more than one ONNX file holds; use Save, which puts them beside it.");
        }
        return new ProtoWriter(null).Write(this).ToByteArray();
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

    private static OnnxModel Parse(Func<ModelProto> parse, string name, string? folder)
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
        return new ProtoReader(name, folder).Read(proto);
    }
}
