using Google.Protobuf;
using Microsoft.ML.Attention.Onnx.Proto;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Kernels;

/// <summary>A model of one node, whose inputs and outputs are the graph's own.</summary>
internal sealed class SingleNodeModel(string domain, string op)
{
    private readonly GraphProto _graph = new() { Name = "test", Node = { new NodeProto { OpType = op, Domain = domain, Name = "node" } } };

    public List<FunctionProto> Functions { get; } = [];

    private NodeProto Node => _graph.Node[0];

    public SingleNodeModel Attribute(string name, object value)
    {
        var attribute = new AttributeProto { Name = name };
        switch (value)
        {
            case int number: (attribute.I, attribute.Type) = (number, AttributeProto.Types.AttributeType.Int); break;
            case float number: (attribute.F, attribute.Type) = (number, AttributeProto.Types.AttributeType.Float); break;
            case string text: (attribute.S, attribute.Type) = (ByteString.CopyFromUtf8(text), AttributeProto.Types.AttributeType.String); break;
            case long[] numbers: attribute.Ints.Add(numbers); attribute.Type = AttributeProto.Types.AttributeType.Ints; break;
            case float[] numbers: attribute.Floats.Add(numbers); attribute.Type = AttributeProto.Types.AttributeType.Floats; break;
            default: throw new ArgumentException($"no attribute kind for {value.GetType()}");
        }
        Node.Attribute.Add(attribute);
        return this;
    }

    /// <summary>An input of the node; negative dimensions get a name of their own.</summary>
    public SingleNodeModel Input(string name, TensorElementType type, params long[] dims)
    {
        Node.Input.Add(name);
        _graph.Input.Add(Value(name, type, dims));
        return this;
    }

    public SingleNodeModel AbsentInput()
    {
        Node.Input.Add("");
        return this;
    }

    public SingleNodeModel Output(string name, TensorElementType type)
    {
        Node.Output.Add(name);
        _graph.Output.Add(Value(name, type, null));
        return this;
    }

    public SingleNodeModel AbsentOutput()
    {
        Node.Output.Add("");
        return this;
    }

    public InferenceSession Session(Action<SessionOptions>? configure = null)
    {
        using var options = new SessionOptions { IntraOpNumThreads = 2, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL };
        configure?.Invoke(options);
        return new InferenceSession(ToBytes(), options);
    }

    public byte[] ToBytes()
    {
        var model = new ModelProto
        {
            IrVersion = 10,
            Graph = _graph,
            OpsetImport = { new OperatorSetIdProto { Version = 20 }, new OperatorSetIdProto { Domain = domain, Version = 1 } },
        };
        model.Functions.Add(Functions);
        return model.ToByteArray();
    }

    private static ValueInfoProto Value(string name, TensorElementType type, long[]? dims)
    {
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)type };
        if (dims is not null)
        {
            tensor.Shape = new TensorShapeProto();
            for (var axis = 0; axis < dims.Length; axis++)
            {
                tensor.Shape.Dim.Add(dims[axis] < 0
                    ? new TensorShapeProto.Types.Dimension { DimParam = $"{name}{axis}" }
                    : new TensorShapeProto.Types.Dimension { DimValue = dims[axis] });
            }
        }
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = tensor } };
    }
}
