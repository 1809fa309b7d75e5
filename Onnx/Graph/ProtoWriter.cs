using Google.Protobuf;
using Microsoft.ML.Attention.Onnx.Proto;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>Turns a model into the messages of an ONNX file.</summary>
/// <param name="external">Takes the weights out of the file, or null to keep them in it.</param>
/// <param name="folder">The folder whose weight files the model may refer to, or null for that which each weight lies in.</param>
internal sealed class ProtoWriter(ExternalDataWriter? external, string? folder)
{
    // Below this a weight stays in the model file even when others go beside it.
    private const int SmallTensor = 1024;

    public ModelProto Write(OnnxModel model)
    {
        var proto = new ModelProto { IrVersion = model.IrVersion, ProducerName = model.Producer, Graph = Write(model.Graph, isMain: true) };
        proto.OpsetImport.AddRange(model.Opsets.Select(Write));
        proto.MetadataProps.AddRange(model.Metadata.Select(entry => new StringStringEntryProto { Key = entry.Key, Value = entry.Value }));
        proto.Functions.AddRange(model.Functions.Select(Write));
        return proto;
    }

    private static OperatorSetIdProto Write(KeyValuePair<string, long> opset) => new() { Domain = opset.Key, Version = opset.Value };

    private FunctionProto Write(Function function)
    {
        var proto = new FunctionProto { Domain = function.Domain, Name = function.Name };
        proto.Input.AddRange(function.Body.Inputs);
        proto.Output.AddRange(function.Body.Outputs);
        proto.Attribute.AddRange(function.AttributeNames);
        proto.Node.AddRange(function.Body.Nodes.Select(Write));
        proto.OpsetImport.AddRange(function.Opsets.Select(Write));
        return proto;
    }

    private GraphProto Write(Graph graph, bool isMain)
    {
        var proto = new GraphProto { Name = graph.Name };
        proto.Node.AddRange(graph.Nodes.Select(Write));
        proto.Input.AddRange(graph.Inputs.Select(name => Write(name, graph.Info(name))));
        proto.Output.AddRange(graph.Outputs.Select(name => Write(name, graph.Info(name))));
        proto.Initializer.AddRange(graph.Initializers.Select(entry => Write(entry.Key, entry.Value, isMain ? external : null)));
        return proto;
    }

    private static ValueInfoProto Write(string name, ValueInfo info)
    {
        var value = new ValueInfoProto { Name = name };
        if (info.Type is not { } type)
            return value;
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type };
        if (info.Shape is { } shape)
        {
            tensor.Shape = new();
            foreach (var dim in shape)
            {
                var entry = new TensorShapeProto.Types.Dimension();
                if (dim.IsKnown)
                    entry.DimValue = dim.Value;
                else if (dim.Symbol is { } symbol)
                    entry.DimParam = symbol;
                tensor.Shape.Dim.Add(entry);
            }
        }
        value.Type = new() { TensorType = tensor };
        return value;
    }

    private NodeProto Write(Node node)
    {
        var proto = new NodeProto { OpType = node.OpType, Domain = node.Domain, Name = node.Name };
        proto.Input.AddRange(node.Inputs);
        proto.Output.AddRange(node.Outputs);
        proto.Attribute.AddRange(node.Attributes.Select(Write));
        proto.MetadataProps.AddRange(node.Metadata.Select(entry => new StringStringEntryProto { Key = entry.Key, Value = entry.Value }));
        return proto;
    }

    private AttributeProto Write(KeyValuePair<string, object> attribute)
    {
        var (name, value) = attribute;
        if (value is AttributeReference reference)
            return new() { Name = name, RefAttrName = reference.Name, Type = ProtoReader.Kinds[reference.Kind] };
        var proto = new AttributeProto { Name = name, Type = ProtoReader.Kinds[value.GetType()] };
        switch (value)
        {
            case float number: proto.F = number; break;
            case long number: proto.I = number; break;
            case string text: proto.S = ByteString.CopyFromUtf8(text); break;
            case Tensor tensor: proto.T = Write("", tensor, null); break;
            case Graph graph: proto.G = Write(graph, isMain: false); break;
            case float[] numbers: proto.Floats.AddRange(numbers); break;
            case long[] numbers: proto.Ints.AddRange(numbers); break;
            case string[] texts: proto.Strings.AddRange(texts.Select(ByteString.CopyFromUtf8)); break;
        }
        return proto;
    }

    /// <summary>Whether a weight stays in the file that it lies in, which a model in the folder may refer to.</summary>
    public static bool Stays(Tensor tensor, string? folder) =>
        tensor.External is { } data && (folder is null || Path.GetFullPath(folder + Path.DirectorySeparatorChar) == data.Folder);

    private TensorProto Write(string name, Tensor tensor, ExternalDataWriter? external)
    {
        var proto = new TensorProto { Name = name, DataType = (int)tensor.Type };
        proto.Dims.AddRange(tensor.Dims);
        if (Stays(tensor, folder))
            Refer(tensor.External!.Location, tensor.External.Offset);
        else if (external is null || tensor.ByteCount < SmallTensor)
            proto.RawData = UnsafeByteOperations.UnsafeWrap(tensor.Data);
        else
            Refer(external.FileName, external.Append(tensor.Data.Span));
        return proto;

        void Refer(string location, long offset)
        {
            proto.DataLocation = TensorProto.Types.DataLocation.External;
            proto.ExternalData.Add(new StringStringEntryProto { Key = "location", Value = location });
            proto.ExternalData.Add(new StringStringEntryProto { Key = "offset", Value = offset.ToString() });
            proto.ExternalData.Add(new StringStringEntryProto { Key = "length", Value = tensor.ByteCount.ToString() });
        }
    }
}

/// <summary>Collects the weights of a large model in one file beside it, each at a page boundary so that it can be mapped.</summary>
internal sealed class ExternalDataWriter(string path) : IDisposable
{
    private const int Page = 4096;
    private readonly FileStream _stream = File.Create(path);

    public string FileName => Path.GetFileName(path);

    public long Append(ReadOnlySpan<byte> bytes)
    {
        var offset = (_stream.Length + Page - 1) / Page * Page;
        _stream.SetLength(offset);
        _stream.Position = offset;
        _stream.Write(bytes);
        return offset;
    }

    public void Dispose() => _stream.Dispose();
}
