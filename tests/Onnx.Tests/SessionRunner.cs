using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Tests;

/// <summary>Runs a model in ONNX Runtime and returns its outputs by name.</summary>
internal static class SessionRunner
{
    public static Dictionary<string, Tensor> Run(OnnxModel model, IReadOnlyDictionary<string, Tensor> inputs, SessionOptions? options = null)
    {
        options ??= new SessionOptions();
        options.IntraOpNumThreads = 2;
        options.LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR;
        using var session = new InferenceSession(model.ToBytes(), options);
        using var runOptions = new RunOptions();
        var names = model.Graph.Inputs;
        var values = names.ConvertAll(name => ToOrtValue(inputs[name]));
        try
        {
            using var outputs = session.Run(runOptions, names, values, session.OutputNames);
            return session.OutputNames.Zip(outputs, (name, value) => (name, value)).ToDictionary(pair => pair.name, pair => FromOrtValue(pair.value));
        }
        finally
        {
            values.ForEach(value => value.Dispose());
        }
    }

    public static OrtValue ToOrtValue(Tensor tensor)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, tensor.Type, [.. tensor.Dims]);
        tensor.Data.Span.CopyTo(value.GetTensorMutableRawData());
        return value;
    }

    public static Tensor FromOrtValue(OrtValue value)
    {
        var info = value.GetTensorTypeAndShape();
        var bytes = value.GetTensorMutableRawData().ToArray();
        return new(info.ElementDataType, info.Shape, bytes);
    }
}
