using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>A way to run models: whose code computes our operators.</summary>
/// <param name="Name">What it is called in the report.</param>
/// <param name="Configure">Prepares a session.</param>
/// <param name="IsCuda">Whether sessions compute on a CUDA device.</param>
internal sealed record RunMode(string Name, Action<SessionOptions> Configure, bool IsCuda = false);

/// <summary>The tensor of a case that came closest to its tolerance, or went furthest beyond.</summary>
internal readonly record struct WorstTensor(string Tensor, double Error, double Tolerance)
{
    public bool IsRight => Error <= Tolerance;

    public double Ratio => double.IsNaN(Error) ? double.PositiveInfinity : Error / Tolerance;
}

/// <summary>Runs a reference case and compares what comes out.</summary>
internal static class CaseRunner
{
    private const string OutputPrefix = "output:";

    /// <summary>The worst tensor of each way to run the case.</summary>
    /// <exception cref="Exception">The case is not understood, or the model does not run.</exception>
    public static WorstTensor[] Run(GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var family = GoldenModels.Find(golden.Model);
        var expected = family.Expect(golden);
        return [.. family.Run(golden, modes).Select(outputs => Compare(golden, expected, outputs))];
    }

    /// <summary>Builds the model that a case describes and runs it.</summary>
    public static IEnumerable<IReadOnlyDictionary<string, Tensor>> RunModel(IGoldenModel family, GoldenCase golden, IReadOnlyList<RunMode> modes)
    {
        var model = family.Build(golden);
        var (bytes, inputs) = (model.ToBytes(), family.Prepare(golden));
        return modes.Select(mode => family.Align(golden, Outputs(bytes, inputs, mode)));
    }

    private static WorstTensor Compare(
        GoldenCase golden, IReadOnlyDictionary<string, Tensor> expected, IReadOnlyDictionary<string, Tensor> outputs)
    {
        foreach (var name in expected.Keys.Where(name => name.StartsWith(OutputPrefix, StringComparison.Ordinal)))
        {
            if (!outputs.ContainsKey(ModelOutput(name)))
                throw new InvalidDataException($"the model has no output for '{name}'");
        }
        return expected.Where(tensor => outputs.ContainsKey(ModelOutput(tensor.Key)))
            .Select(tensor => Compare(golden, tensor.Key, outputs[ModelOutput(tensor.Key)], tensor.Value))
            .MaxBy(tensor => tensor.Ratio);
    }

    // The name that a tensor of a case has in the model.
    private static string ModelOutput(string tensor) =>
        tensor.StartsWith(OutputPrefix, StringComparison.Ordinal) ? tensor[OutputPrefix.Length..] : tensor;

    private static WorstTensor Compare(GoldenCase golden, string name, Tensor actual, Tensor expected)
    {
        try
        {
            return new(name, Comparison.Error(actual, expected, golden.Stride(name), golden.IsOrdered), golden.Tolerance(name));
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"'{name}': {error.Message}", error);
        }
    }

    /// <summary>Runs a model once.</summary>
    public static Dictionary<string, Tensor> Outputs(byte[] model, IReadOnlyDictionary<string, Tensor> inputs, RunMode mode)
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        mode.Configure(options);
        using var session = new InferenceSession(model, options);
        using var runOptions = new RunOptions();
        var values = session.InputNames.Select(name => ToOrtValue(inputs[name])).ToArray();
        try
        {
            using var outputs = session.Run(runOptions, session.InputNames, values, session.OutputNames);
            return session.OutputNames.Zip(outputs).ToDictionary(pair => pair.First, pair => FromOrtValue(pair.Second));
        }
        finally
        {
            Array.ForEach(values, value => value.Dispose());
        }
    }

    private static OrtValue ToOrtValue(Tensor tensor)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, tensor.Type, [.. tensor.Dims]);
        tensor.Data.Span.CopyTo(value.GetTensorMutableRawData());
        return value;
    }

    private static Tensor FromOrtValue(OrtValue value)
    {
        var info = value.GetTensorTypeAndShape();
        return new(info.ElementDataType, info.Shape, value.GetTensorMutableRawData().ToArray());
    }
}
