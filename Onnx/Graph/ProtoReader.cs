using System.Runtime.InteropServices;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Microsoft.ML.Attention.Onnx.Proto;
using Microsoft.ML.OnnxRuntime.Tensors;
using static Microsoft.ML.Attention.Onnx.Proto.AttributeProto.Types;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Turns the messages of an ONNX file into a model.</summary>
/// <param name="source">What errors call the file.</param>
/// <param name="folder">Where external data lies, or null where there can be none.</param>
/// <param name="leaveExternalData">Whether external data stays where it is until somebody asks for it.</param>
internal sealed class ProtoReader(string source, string? folder, bool leaveExternalData)
{
    public OnnxModel Read(ModelProto proto)
    {
        var model = new OnnxModel
        {
            IrVersion = proto.IrVersion,
            Producer = proto.ProducerName,
            Graph = Read(proto.Graph),
            Opsets = ReadOpsets(proto.OpsetImport),
            Metadata = proto.MetadataProps.ToDictionary(entry => entry.Key, entry => entry.Value),
        };
        foreach (var function in proto.Functions)
        {
            var body = new Graph { Name = function.Name };
            body.Inputs.AddRange(function.Input);
            body.Outputs.AddRange(function.Output);
            body.Nodes.AddRange(function.Node.Select(Read));
            model.Functions.Add(new()
            {
                Domain = function.Domain,
                Name = function.Name,
                AttributeNames = [.. function.Attribute, .. function.AttributeProto.Select(attribute => attribute.Name)],
                Body = body,
                Opsets = ReadOpsets(function.OpsetImport),
            });
        }
        return model;
    }

    private static Dictionary<string, long> ReadOpsets(RepeatedField<OperatorSetIdProto> opsets) =>
        opsets.ToDictionary(opset => opset.Domain == "ai.onnx" ? "" : opset.Domain, opset => opset.Version);

    private Graph Read(GraphProto proto)
    {
        if (proto.SparseInitializer.Count > 0)
            throw new InvalidDataException($"'{source}' has sparse weights, which are not supported; store them densely.");
        var graph = new Graph { Name = proto.Name };
        foreach (var tensor in proto.Initializer)
            graph.Initializers[tensor.Name] = Read(tensor);
        foreach (var value in proto.Input.Concat(proto.Output).Concat(proto.ValueInfo))
            graph.Values[value.Name] = Read(value.Type);
        graph.Inputs.AddRange(proto.Input.Select(value => value.Name).Where(name => !graph.Initializers.ContainsKey(name)));
        graph.Outputs.AddRange(proto.Output.Select(value => value.Name));
        graph.Nodes.AddRange(proto.Node.Select(Read));
        return graph;
    }

    private static ValueInfo Read(TypeProto? type)
    {
        if (type?.TensorType is not { } tensor)
            return new(null, null);
        var shape = tensor.Shape is null ? null : Shape.Create([.. tensor.Shape.Dim.Select(dim => dim.ValueCase switch
        {
            TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue => new Dim(dim.DimValue),
            TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam when dim.DimParam.Length > 0 => new Dim(dim.DimParam),
            _ => Dim.Unknown,
        })]);
        return new((TensorElementType)tensor.ElemType, shape);
    }

    private Node Read(NodeProto proto)
    {
        var node = new Node
        {
            OpType = proto.OpType,
            Domain = proto.Domain == "ai.onnx" ? "" : proto.Domain,
            Name = proto.Name,
            Inputs = [.. proto.Input],
            Outputs = [.. proto.Output],
        };
        foreach (var attribute in proto.Attribute)
            node.Attributes[attribute.Name] = Read(attribute);
        foreach (var entry in proto.MetadataProps)
            node.Metadata[entry.Key] = entry.Value;
        return node;
    }

    private object Read(AttributeProto proto)
    {
        if (proto.RefAttrName.Length > 0)
            return new AttributeReference(proto.RefAttrName, Kinds.First(kind => kind.Value == proto.Type).Key);
        return proto.Type switch
        {
            AttributeType.Float => proto.F,
            AttributeType.Int => proto.I,
            AttributeType.String => proto.S.ToStringUtf8(),
            AttributeType.Tensor => Read(proto.T),
            AttributeType.Graph => Read(proto.G),
            AttributeType.Floats => proto.Floats.ToArray(),
            AttributeType.Ints => proto.Ints.ToArray(),
            AttributeType.Strings => proto.Strings.Select(text => text.ToStringUtf8()).ToArray(),
            _ => throw new InvalidDataException($"'{source}': attribute '{proto.Name}' is of type {proto.Type}, which is not supported."),
        };
    }

    internal static readonly Dictionary<Type, AttributeType> Kinds = new()
    {
        [typeof(float)] = AttributeType.Float,
        [typeof(long)] = AttributeType.Int,
        [typeof(string)] = AttributeType.String,
        [typeof(Tensor)] = AttributeType.Tensor,
        [typeof(Graph)] = AttributeType.Graph,
        [typeof(float[])] = AttributeType.Floats,
        [typeof(long[])] = AttributeType.Ints,
        [typeof(string[])] = AttributeType.Strings,
    };

    private Tensor Read(TensorProto proto)
    {
        var type = (TensorElementType)proto.DataType;
        if (type == TensorElementType.String)
            throw new InvalidDataException($"'{source}': tensor '{proto.Name}' holds strings, which are not supported.");
        var dims = proto.Dims.ToArray();
        try
        {
            if (proto.DataLocation != TensorProto.Types.DataLocation.External)
                return new(type, dims, Bytes(proto, type));
            var external = External(proto);
            return leaveExternalData ? new(type, dims, external) : new(type, dims, external.Read());
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException)
        {
            throw new InvalidDataException($"'{source}': tensor '{proto.Name}': {error.Message}", error);
        }
    }

    private static ReadOnlyMemory<byte> Bytes(TensorProto proto, TensorElementType type)
    {
        if (proto.RawData.Length > 0)
            return proto.RawData.Memory;
        return type switch
        {
            TensorElementType.Float => Pack(proto.FloatData, value => value),
            TensorElementType.Double => Pack(proto.DoubleData, value => value),
            TensorElementType.Int64 => Pack(proto.Int64Data, value => value),
            TensorElementType.UInt64 => Pack(proto.Uint64Data, value => value),
            TensorElementType.UInt32 => Pack(proto.Uint64Data, value => (uint)value),
            _ => Tensor.SizeOf(type) switch
            {
                1 => Pack(proto.Int32Data, value => (byte)value),
                2 => Pack(proto.Int32Data, value => (ushort)value),
                _ => Pack(proto.Int32Data, value => value),
            },
        };
    }

    private static byte[] Pack<TField, T>(RepeatedField<TField> field, Converter<TField, T> convert)
        where T : unmanaged => MemoryMarshal.AsBytes<T>(Array.ConvertAll(field.ToArray(), convert)).ToArray();

    private ExternalData External(TensorProto proto)
    {
        var entries = proto.ExternalData.ToDictionary(entry => entry.Key, entry => entry.Value);
        var location = entries.GetValueOrDefault("location") ?? "";
        if (folder is null)
            throw new InvalidDataException($"'{source}': tensor '{proto.Name}' is stored in '{location}'; load the model by its path.");
        var root = Path.GetFullPath(folder + Path.DirectorySeparatorChar);
        var path = Path.GetFullPath(Path.Combine(root, location));
        if (!path.StartsWith(root, StringComparison.Ordinal))
            throw new InvalidDataException($"'{source}': tensor '{proto.Name}' is stored in '{location}', outside the model's folder.");
        if (!File.Exists(path))
        {
            throw new InvalidDataException(
                $"'{source}': tensor '{proto.Name}' is stored in '{location}', which is missing beside the model.");
        }
        var length = new FileInfo(path).Length;
        var offset = entries.TryGetValue("offset", out var text) ? long.Parse(text) : 0;
        var count = entries.TryGetValue("length", out text) ? long.Parse(text) : length - offset;
        if (offset < 0 || count < 0 || offset + count > length)
        {
            throw new InvalidDataException(
                $"'{source}': tensor '{proto.Name}' needs bytes {offset} to {offset + count} of '{location}', which has {length}.");
        }
        return new(root, location, offset, count);
    }
}
