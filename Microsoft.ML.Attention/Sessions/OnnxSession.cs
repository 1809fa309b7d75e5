using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>An open model. Any number of threads may run it at once.</summary>
internal sealed class OnnxSession : IDisposable
{
    private const string CudaProviderName = "CUDAExecutionProvider";

    private readonly InferenceSession _session;
    private readonly OrtAllocator? _pinned;
    private readonly OrtMemoryInfo? _deviceMemory;
    private long _runCount;
    private volatile bool _disposed;

    /// <summary>Takes over a session that is open.</summary>
    internal OnnxSession(InferenceSession session, ExecutionProvider provider, int deviceId)
    {
        _session = session;
        Provider = provider;
        CudaDevice = provider == ExecutionProvider.Cuda ? deviceId : null;
        if (provider == ExecutionProvider.Cuda)
        {
            using var memory = new OrtMemoryInfo("CudaPinned", OrtAllocatorType.DeviceAllocator, deviceId, OrtMemType.CpuOutput);
            _pinned = new OrtAllocator(session, memory);
            _deviceMemory = new OrtMemoryInfo("Cuda", OrtAllocatorType.DeviceAllocator, deviceId, OrtMemType.Default);
        }
        Inputs = session.InputNames.ToDictionary(n => n, n => TensorDescription.From(n, session.InputMetadata[n]));
        OutputNames = session.OutputNames;
        FixedRows = Inputs.Values.Where(i => i.Rows >= 0).Select(i => (int?)i.Rows).FirstOrDefault();
        Outputs = session.OutputMetadata.Where(o => o.Value.IsTensor).ToDictionary(o => o.Key, o => TensorDescription.From(o.Key, o.Value));
    }

    /// <summary>The provider in use: <see cref="ExecutionProvider.Cpu"/> or <see cref="ExecutionProvider.Cuda"/>.</summary>
    public ExecutionProvider Provider { get; }

    /// <summary>The CUDA device in use, if any.</summary>
    public int? CudaDevice { get; }

    public IReadOnlyDictionary<string, TensorDescription> Inputs { get; }

    /// <summary>The memory that the model computes in.</summary>
    public OrtMemoryInfo DeviceMemory => _deviceMemory ?? OrtMemoryInfo.DefaultInstance;

    /// <summary>Every output, in the model's order, those that are not tensors too.</summary>
    public IReadOnlyList<string> OutputNames { get; }

    /// <summary>The outputs that are tensors.</summary>
    public IReadOnlyDictionary<string, TensorDescription> Outputs { get; }

    /// <summary>The rows of every run, where the model fixes them.</summary>
    public int? FixedRows { get; }

    /// <summary>Runs so far.</summary>
    public long RunCount => Interlocked.Read(ref _runCount);

    public static OnnxSession Open(IHostEnvironment environment, ModelContent model, OnnxSessionOptions options)
    {
        using var channel = environment.Start("ONNX session");
        var internals = environment as IHostEnvironmentInternal;
        int deviceId = options.DeviceId ?? internals?.GpuDeviceId ?? 0;
        if (options.ExecutionProvider == ExecutionProvider.Cpu)
            return OpenOn(ExecutionProvider.Cpu, deviceId, model, options, channel);

        string missing;
        if (OrtEnv.Instance().GetAvailableProviders().Contains(CudaProviderName))
        {
            try
            {
                var session = OpenOn(ExecutionProvider.Cuda, deviceId, model, options, channel);
                channel.Info($"{model.DisplayName} runs on CUDA device {deviceId}.");
                return session;
            }
            catch (Exception e) when (e is OnnxRuntimeException or DllNotFoundException or InvalidOperationException)
            {
                missing = $"CUDA device {deviceId} could not be opened: {e.Message}";
            }
        }
        else
        {
            missing = $"the loaded ONNX Runtime {OrtEnv.Instance().GetVersionString()} was built without CUDA; "
                + "reference the package Microsoft.ML.OnnxRuntime.Gpu in place of Microsoft.ML.OnnxRuntime";
        }
        if (options.ExecutionProvider == ExecutionProvider.Auto)
        {
            channel.Info($"{model.DisplayName} runs on the CPU: {missing}.");
        }
        else if (internals?.FallbackToCpu == true)
        {
            channel.Warning($"{model.DisplayName} was to run on CUDA and runs on the CPU, as MLContext.FallbackToCpu says: {missing}.");
        }
        else
        {
            throw new InvalidOperationException($"{model.DisplayName} cannot run on CUDA: {missing}. "
                + "Where the CPU will do, choose ExecutionProvider.Cpu or ExecutionProvider.Auto.");
        }
        return OpenOn(ExecutionProvider.Cpu, deviceId, model, options, channel);
    }

    /// <summary>Runs the model into outputs that the caller has allocated.</summary>
    /// <param name="options">The caller's own; of no use any more once a run is cancelled.</param>
    /// <param name="inputNames">The inputs' names.</param>
    /// <param name="inputs">The inputs.</param>
    /// <param name="outputNames">The names of the outputs that are wanted.</param>
    /// <param name="outputs">The outputs.</param>
    /// <param name="cancellation">Ends the run in its middle.</param>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled.</exception>
    public void Run(RunOptions options, string[] inputNames, OrtValue[] inputs, string[] outputNames, OrtValue[] outputs,
        CancellationToken cancellation)
    {
        using var registration = Start(options, cancellation);
        try
        {
            _session.Run(options, inputNames, inputs, outputNames, outputs);
        }
        catch (OnnxRuntimeException) when (cancellation.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellation);
        }
    }

    /// <summary>Runs the model into outputs that ONNX Runtime allocates: for shapes that only the run tells.</summary>
    /// <inheritdoc cref="Run(RunOptions, string[], OrtValue[], string[], OrtValue[], CancellationToken)"/>
    public IDisposableReadOnlyCollection<OrtValue> Run(RunOptions options, string[] inputNames, OrtValue[] inputs, string[] outputNames,
        CancellationToken cancellation)
    {
        using var registration = Start(options, cancellation);
        try
        {
            return _session.Run(options, inputNames, inputs, outputNames);
        }
        catch (OnnxRuntimeException) when (cancellation.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellation);
        }
    }

    /// <summary>Values that may lie, and stay, in <see cref="DeviceMemory"/>; the caller disposes of it.</summary>
    public OrtIoBinding CreateBinding() => _session.CreateIoBinding();

    /// <summary>Runs the model on bound values.</summary>
    /// <param name="options">The caller's own; of no use any more once a run is cancelled.</param>
    /// <param name="binding">All inputs and the outputs that are wanted.</param>
    /// <param name="cancellation">Ends the run in its middle.</param>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> was cancelled.</exception>
    public void Run(RunOptions options, OrtIoBinding binding, CancellationToken cancellation)
    {
        using var registration = Start(options, cancellation);
        try
        {
            _session.RunWithBinding(options, binding);
        }
        catch (OnnxRuntimeException) when (cancellation.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellation);
        }
    }

    /// <summary>A tensor in host memory for an input: page-locked where a CUDA device copies it.</summary>
    public OrtValue AllocateInput(TensorElementType elementType, long[] shape) =>
        OrtValue.CreateAllocatedTensorValue(_pinned ?? OrtAllocator.DefaultInstance, elementType, shape);

    /// <summary>A tensor in host memory for an output. ONNX Runtime does not take page-locked memory there.</summary>
    public static OrtValue AllocateOutput(TensorElementType elementType, long[] shape) =>
        OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, elementType, shape);

    public void Dispose()
    {
        _disposed = true;
        _pinned?.Dispose();
        _deviceMemory?.Dispose();
        _session.Dispose();
    }

    private static OnnxSession OpenOn(ExecutionProvider provider, int deviceId, ModelContent model, OnnxSessionOptions options,
        IChannel channel)
    {
        using var sessionOptions = options.CreateSessionOptions(provider == ExecutionProvider.Cuda ? deviceId : null);
        sessionOptions.GraphOptimizationLevel = options.GraphOptimizationLevel;
        RegisterKernels(sessionOptions, provider, channel);
        if (provider == ExecutionProvider.Cuda && options.Precision == ScoringPrecision.Half)
            model = InHalf(model, channel);
        try
        {
            return new OnnxSession(model.Open(sessionOptions), provider, deviceId);
        }
        catch (OnnxRuntimeException e)
        {
            throw new InvalidOperationException($"ONNX Runtime cannot load {model.DisplayName}: {e.Message}", e);
        }
    }

    /// <summary>Adds our kernels; where they cannot run, ONNX Runtime falls back on the operators' function bodies.</summary>
    private static void RegisterKernels(SessionOptions options, ExecutionProvider provider, IChannel channel)
    {
        try
        {
            KernelLibrary.Register(options, cuda: provider == ExecutionProvider.Cuda);
        }
        catch (NotSupportedException e)
        {
            channel.Warning($"The kernels of Microsoft.ML.Attention are not used, models with its operators run slower: {e.Message}");
        }
    }

    private static ModelContent InHalf(ModelContent model, IChannel channel)
    {
        try
        {
            return model.InHalf();
        }
        catch (NotSupportedException e)
        {
            channel.Warning($"{model.DisplayName} is computed as it is, not in half precision: {e.Message}");
            return model;
        }
    }

    private CancellationTokenRegistration Start(RunOptions options, CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        cancellation.ThrowIfCancellationRequested();
        Interlocked.Increment(ref _runCount);
        return cancellation.UnsafeRegister(static state => ((RunOptions)state!).Terminate = true, options);
    }
}
