using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// Runs a training graph step by step. Parameters and the optimiser's state stay where the session runs, in two sets that change places
/// with each step. A step allocates nothing but what ONNX Runtime does. Not for several threads at once.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly TrainingGraph _graph;
    private readonly int? _cudaDevice;
    private readonly long _seed;
    private readonly LossScale? _lossScale;
    private readonly InferenceSession _session;
    private readonly RunOptions _runOptions = new();
    private readonly Dictionary<string, OrtValue> _inputs = [];
    private readonly Dictionary<string, OrtValue> _scalars = [];
    private readonly OrtAllocator? _deviceAllocator;
    private readonly OrtAllocator? _inputAllocator;
    private readonly OrtValue[][] _sets;
    private readonly OrtIoBinding?[,] _bindings;
    private int _current;

    /// <summary>Starts from the weights of the model.</summary>
    /// <param name="graph">The training graph.</param>
    /// <param name="options">The session's options; by default the CPU with this library's kernels.</param>
    /// <param name="cudaDevice">The device, where the options have the CUDA execution provider; else null.</param>
    /// <param name="seed">Decides the masks of Dropout and DropPath, together with the number of the step.</param>
    public Trainer(TrainingGraph graph, SessionOptions? options = null, int? cudaDevice = null, long seed = 0)
    {
        ArgumentNullException.ThrowIfNull(graph);
        (_graph, _cudaDevice, _seed) = (graph, cudaDevice, seed);
        _session = CreateSession(graph, options);
        if (cudaDevice is { } device)
        {
            _deviceAllocator = Allocator("Cuda", device, OrtMemType.Default);
            // From page-locked memory the device copies at the full speed of the bus.
            _inputAllocator = Allocator("CudaPinned", device, OrtMemType.CpuOutput);
        }
        var info = graph.Step.Graph;
        foreach (var name in info.Inputs.Where(name => !graph.State.Any(state => state.Name == name)))
            _inputs[name] = Allocate(info.Info(name).Type!.Value, info.Info(name).Shape!.ToArray(), _inputAllocator);
        if (_inputs.ContainsKey(TrainingGraph.LossScaleInput))
            _lossScale = new();
        foreach (var name in info.Outputs.Where(name => !graph.State.Any(state => state.Name + TrainingGraph.NextSuffix == name)))
            _scalars[name] = Allocate(TensorElementType.Float, []);
        // The first set holds the initial state in host memory. On the CPU it is used again, on a device two sets of its own follow it.
        _sets = new OrtValue[cudaDevice is null ? 2 : 3][];
        for (var i = 0; i < _sets.Length; i++)
            _sets[i] = [.. graph.State.Select(state =>
                Allocate(TensorElementType.Float, [state.Initial.Length], i == 0 ? null : _deviceAllocator))];
        _bindings = new OrtIoBinding?[_sets.Length, _sets.Length];
        for (var i = 0; i < graph.State.Count; i++)
            graph.State[i].Initial.CopyTo(_sets[0][i].GetTensorMutableDataAsSpan<float>());
    }

    /// <summary>The number of steps so far.</summary>
    public long StepCount { get; private set; }

    /// <summary>
    /// The number of steps whose gradients were not finite and which therefore left the parameters as they were. Counted with
    /// <see cref="TrainingPrecision.Mixed"/> or <see cref="Optimizer.ClipNorm"/>.
    /// </summary>
    public long SkippedStepCount { get; private set; }

    /// <summary>What the loss is multiplied by within the graph, so that gradients do not vanish in float16; 1 in float32.</summary>
    public float LossScale => _lossScale?.Value ?? 1;

    /// <summary>The memory of an input in <see cref="TrainingGraph.BatchInputs"/>, row-major, to be filled before each step.</summary>
    /// <exception cref="ArgumentException">There is no such input.</exception>
    public Span<T> Input<T>(string name)
        where T : unmanaged =>
        _inputs.TryGetValue(name, out var value)
            ? value.GetTensorMutableDataAsSpan<T>()
            : throw new ArgumentException($"The training graph has no input '{name}'; it has {string.Join(", ", _graph.BatchInputs)}.",
                nameof(name));

    /// <summary>Trains on what the inputs hold.</summary>
    /// <param name="learningRate">The learning rate of this step.</param>
    /// <returns>The loss, with the parameters as they were before the step.</returns>
    /// <exception cref="InvalidOperationException">Gradients overflow in float16 however little the loss is scaled.</exception>
    public float Step(float learningRate)
    {
        StepCount++;
        if (_inputs.TryGetValue(TrainingGraph.StepInput, out var numbers))
            _graph.Optimizer.Prepare(StepCount - SkippedStepCount, learningRate, numbers.GetTensorMutableDataAsSpan<float>());
        if (_inputs.TryGetValue(TrainingGraph.LossScaleInput, out var lossScale))
            lossScale.GetTensorMutableDataAsSpan<float>()[0] = LossScale;
        if (_inputs.TryGetValue(TrainingGraph.NoiseInput, out var noise))
            Noise.Fill(noise.GetTensorMutableDataAsSpan<float>(), _seed, StepCount);
        var next = _current + 1 < _sets.Length ? _current + 1 : _sets.Length - 2;
        var binding = _bindings[_current, next] ??= Bind(_sets[_current], _sets[next]);
        if (_cudaDevice is not null)
            BindInputs(binding);
        _session.RunWithBinding(_runOptions, binding);
        _current = next;
        if (_scalars.ContainsKey(TrainingGraph.GradientScaleOutput))
        {
            var skipped = float.IsNaN(Metric(TrainingGraph.GradientScaleOutput));
            SkippedStepCount += skipped ? 1 : 0;
            _lossScale?.Update(skipped);
        }
        return Metric(TrainingGraph.LossOutput);
    }

    /// <summary>A metric of the last step, by its name in <see cref="TrainingGraph.Metrics"/>.</summary>
    public float Metric(string name) => _scalars[name].GetTensorDataAsSpan<float>()[0];

    /// <summary>The model with the parameters and running statistics of now.</summary>
    /// <param name="averaged">Whether to take the moving average of the parameters.</param>
    /// <exception cref="InvalidOperationException">The average is asked for, but the optimiser keeps none.</exception>
    public OnnxModel Export(bool averaged = false)
    {
        if (averaged && _graph.Optimizer.AverageDecay is null)
            throw new InvalidOperationException("The optimiser keeps no average of the parameters; set Optimizer.AverageDecay.");
        var state = ReadState();
        var model = new OnnxModel
        {
            IrVersion = _graph.Forward.IrVersion,
            Producer = _graph.Forward.Producer,
            Graph = _graph.Forward.Graph.Clone(),
            Functions = [.. _graph.Forward.Functions],
            Opsets = new(_graph.Forward.Opsets),
            Metadata = new(_graph.Forward.Metadata),
        };
        for (var i = 0; i < _graph.Groups.Count; i++)
            Place(_graph.Groups[i].Slots, state[averaged ? TrainingGraph.AverageOf(i) : TrainingGraph.WeightsOf(i)]);
        if (_graph.Statistics.Count > 0)
            Place(_graph.Statistics, state[TrainingGraph.StatisticsState]);
        return model;

        void Place(IReadOnlyList<ParameterSlot> slots, Tensor vector)
        {
            foreach (var slot in slots)
                model.Graph.Initializers[slot.Name] =
                    Tensor.Create(vector.AsSpan<float>().Slice((int)slot.Offset, (int)slot.Count), slot.Dims);
        }
    }

    /// <summary>Writes parameters, moments, running statistics and the number of steps to a safetensors file.</summary>
    public void SaveState(string path) => SafetensorsFile.Write(path, ReadState(), new Dictionary<string, string>
    {
        ["step"] = StepCount.ToString(CultureInfo.InvariantCulture),
        ["skipped"] = SkippedStepCount.ToString(CultureInfo.InvariantCulture),
        ["loss_scale"] = LossScale.ToString(CultureInfo.InvariantCulture),
        ["good_steps"] = (_lossScale?.GoodSteps ?? 0).ToString(CultureInfo.InvariantCulture),
    });

    /// <summary>Goes on from what <see cref="SaveState"/> wrote for the same training graph: as if it had not been interrupted.</summary>
    /// <exception cref="InvalidDataException">The file is of another training graph.</exception>
    public void LoadState(string path)
    {
        using var file = SafetensorsFile.Open(path);
        var tensors = file.ReadAll();
        var (stepCount, skippedCount) = (Number<long>("step"), Number<long>("skipped"));
        for (var i = 0; i < _graph.State.Count; i++)
        {
            var (name, initial) = _graph.State[i];
            if (!tensors.TryGetValue(name, out var tensor) || tensor.ElementCount != initial.Length)
            {
                throw new InvalidDataException(
                    $"'{path}' does not fit this training: '{name}' is {tensor?.Shape.ToString() ?? "missing"}, not [{initial.Length}].");
            }
            tensor.AsSpan<float>().CopyTo(_sets[0][i].GetTensorMutableDataAsSpan<float>());
        }
        (StepCount, SkippedStepCount, _current) = (stepCount, skippedCount, 0);
        if (_lossScale is not null)
            (_lossScale.Value, _lossScale.GoodSteps) = (Number<float>("loss_scale"), Number<long>("good_steps"));
        // On a device the host's set was copied when it was bound.
        if (_cudaDevice is not null && _bindings[0, 1] is { } stale)
        {
            stale.Dispose();
            _bindings[0, 1] = null;
        }

        T Number<T>(string name)
            where T : INumber<T> =>
            file.Metadata.TryGetValue(name, out var text) && T.TryParse(text, CultureInfo.InvariantCulture, out var number)
                ? number
                : throw new InvalidDataException($"'{path}' holds no state of a training: its metadata lack the number '{name}'.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var binding in _bindings)
            binding?.Dispose();
        foreach (var value in _sets.SelectMany(set => set).Concat(_inputs.Values).Concat(_scalars.Values))
            value.Dispose();
        _deviceAllocator?.Dispose();
        _inputAllocator?.Dispose();
        _runOptions.Dispose();
        _session.Dispose();
    }

    private static InferenceSession CreateSession(TrainingGraph graph, SessionOptions? options)
    {
        if (options is not null)
            return new(graph.Step.ToBytes(), options);
        using var defaults = new SessionOptions();
        // The kernels for the CPU are of float32; in half precision ONNX Runtime runs the operators' bodies.
        if (graph.Precision == TrainingPrecision.Float32)
            KernelLibrary.Register(defaults);
        return new(graph.Step.ToBytes(), defaults);
    }

    private OrtAllocator Allocator(string name, int device, OrtMemType type)
    {
        using var memory = new OrtMemoryInfo(name, OrtAllocatorType.DeviceAllocator, device, type);
        return new(_session, memory);
    }

    private OrtIoBinding Bind(OrtValue[] from, OrtValue[] to)
    {
        var binding = _session.CreateIoBinding();
        BindInputs(binding);
        foreach (var (name, value) in _scalars)
            binding.BindOutput(name, value);
        for (var i = 0; i < from.Length; i++)
        {
            binding.BindInput(_graph.State[i].Name, from[i]);
            binding.BindOutput(_graph.State[i].Name + TrainingGraph.NextSuffix, to[i]);
        }
        return binding;
    }

    // Binding copies to the device.
    private void BindInputs(OrtIoBinding binding)
    {
        foreach (var (name, value) in _inputs)
            binding.BindInput(name, value);
    }

    private Dictionary<string, Tensor> ReadState()
    {
        var values = _cudaDevice is { } device && _current > 0 ? CopyToHost(device, _sets[_current]) : _sets[_current];
        var tensors = new Dictionary<string, Tensor>();
        for (var i = 0; i < values.Length; i++)
            tensors[_graph.State[i].Name] = Tensor.Create(values[i].GetTensorDataAsSpan<float>(), _graph.State[i].Initial.Length);
        if (values != _sets[_current])
            Array.ForEach(values, value => value.Dispose());
        return tensors;
    }

    // ONNX Runtime copies between devices where a session needs it; a graph of identities needs nothing else.
    private OrtValue[] CopyToHost(int device, OrtValue[] values)
    {
        var builder = new GraphBuilder("copy");
        foreach (var state in _graph.State)
            builder.Output(state.Name + TrainingGraph.NextSuffix,
                builder.Input(state.Name, TensorElementType.Float, [state.Initial.Length]));
        using var options = SessionOptions.MakeSessionOptionWithCudaProvider(device);
        using var session = new InferenceSession(builder.ToModel().ToBytes(), options);
        using var binding = session.CreateIoBinding();
        var copies = Array.ConvertAll(_graph.State.ToArray(), state => Allocate(TensorElementType.Float, [state.Initial.Length]));
        for (var i = 0; i < copies.Length; i++)
        {
            binding.BindInput(_graph.State[i].Name, values[i]);
            binding.BindOutput(_graph.State[i].Name + TrainingGraph.NextSuffix, copies[i]);
        }
        session.RunWithBinding(_runOptions, binding);
        return copies;
    }

    private static OrtValue Allocate(TensorElementType type, long[] dims, OrtAllocator? allocator = null) =>
        OrtValue.CreateAllocatedTensorValue(allocator ?? OrtAllocator.DefaultInstance, type, dims);
}
