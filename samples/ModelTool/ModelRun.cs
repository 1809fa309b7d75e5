using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace ModelTool;

/// <summary>Where a model runs.</summary>
internal enum Provider
{
    Cpu,
    Cuda,
}

/// <summary>Runs a model on random inputs: the same ones each time.</summary>
internal sealed class ModelRun : IDisposable
{
    private const int Seed = 20240229;
    private const int TimedRuns = 5;

    private readonly InferenceSession _session;
    private readonly RunOptions _options = new();
    private readonly List<OrtValue> _inputs = [];

    private ModelRun(InferenceSession session, IReadOnlyDictionary<string, Shape> shapes)
    {
        _session = session;
        var random = new Random(Seed);
        foreach (var name in session.InputNames)
        {
            if (!session.InputMetadata[name].IsTensor || !shapes.TryGetValue(name, out var shape) || !shape.IsStatic)
                throw new ToolException(ExitCode.InputProblem, $"Input '{name}' has no size that could be chosen here; fix it in the model.");
            _inputs.Add(RandomTensor(session.InputMetadata[name].ElementDataType, shape.ToArray(), random));
        }
    }

    /// <summary>Opens a model file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="provider">Where it runs.</param>
    /// <param name="withKernels">Whether the operators of <c>ml.attention</c> run by their kernels rather than by their definitions.</param>
    /// <param name="shapes">The shapes of the inputs by name.</param>
    public static ModelRun Open(string path, Provider provider, bool withKernels, IReadOnlyDictionary<string, Shape> shapes)
    {
        using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        try
        {
            if (provider == Provider.Cuda)
            {
                using var cuda = new OrtCUDAProviderOptions();
                // Kernels and definitions are compared in full float32.
                cuda.UpdateOptions(new() { ["use_tf32"] = "0" });
                options.AppendExecutionProvider_CUDA(cuda);
            }
            if (withKernels)
                KernelLibrary.Register(options, cuda: provider == Provider.Cuda);
            return new(new InferenceSession(path, options), shapes);
        }
        catch (Exception error) when (error is OnnxRuntimeException or NotSupportedException or EntryPointNotFoundException)
        {
            throw new ToolException(ExitCode.InputProblem, $"ONNX Runtime cannot open '{path}' for {provider}: {error.Message}", error);
        }
    }

    /// <summary>The floating-point outputs of one run by name.</summary>
    public Dictionary<string, double[]> Outputs()
    {
        using var outputs = Run();
        return _session.OutputNames.Zip(outputs).Where(pair => IsFloat(pair.Second))
            .ToDictionary(pair => pair.First, pair => Numbers(pair.Second));
    }

    /// <summary>The median time of a run in milliseconds, after one that is not counted.</summary>
    public double Milliseconds()
    {
        var times = new double[TimedRuns];
        Run().Dispose();
        for (var i = 0; i < times.Length; i++)
        {
            var start = Stopwatch.GetTimestamp();
            Run().Dispose();
            times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
        Array.Sort(times);
        return times[times.Length / 2];
    }

    public void Dispose()
    {
        _inputs.ForEach(input => input.Dispose());
        _options.Dispose();
        _session.Dispose();
    }

    private IDisposableReadOnlyCollection<OrtValue> Run() => _session.Run(_options, _session.InputNames, _inputs, _session.OutputNames);

    // Floating-point inputs are uniform in [-1, 1); integers, which may be indices, are 0.
    private static OrtValue RandomTensor(TensorElementType type, long[] shape, Random random)
    {
        var value = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, type, shape);
        var bytes = value.GetTensorMutableRawData();
        bytes.Clear();
        if (type == TensorElementType.Float)
            Fill(MemoryMarshal.Cast<byte, float>(bytes), number => (float)number);
        else if (type == TensorElementType.Double)
            Fill(MemoryMarshal.Cast<byte, double>(bytes), number => number);
        else if (type == TensorElementType.Float16)
            Fill(MemoryMarshal.Cast<byte, Half>(bytes), number => (Half)number);
        return value;

        void Fill<T>(Span<T> values, Func<double, T> convert)
        {
            foreach (ref var element in values)
                element = convert((2 * random.NextDouble()) - 1);
        }
    }

    private static bool IsFloat(OrtValue value) => value.IsTensor && value.GetTensorTypeAndShape().ElementDataType
        is TensorElementType.Float or TensorElementType.Double or TensorElementType.Float16;

    private static double[] Numbers(OrtValue value)
    {
        var bytes = value.GetTensorMutableRawData();
        return value.GetTensorTypeAndShape().ElementDataType switch
        {
            TensorElementType.Float => Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), number => (double)number),
            TensorElementType.Double => MemoryMarshal.Cast<byte, double>(bytes).ToArray(),
            _ => Array.ConvertAll(MemoryMarshal.Cast<byte, Half>(bytes).ToArray(), number => (double)number),
        };
    }
}
