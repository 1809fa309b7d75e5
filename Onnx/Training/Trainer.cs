using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// Runs a training graph batch by batch. Parameters and the optimiser's state stay where the session runs, in two sets that change places
/// with each step. A step allocates next to nothing but what ONNX Runtime does. Not for several threads at once.
/// </summary>
public sealed class Trainer : IDisposable
{
    private readonly TrainingGraph _graph;
    private readonly int? _cudaDevice;
    private readonly long _seed;
    private readonly LossScale? _lossScale;
    private readonly StepSession _step;
    private readonly StepSession? _update;
    private readonly Dictionary<string, OrtValue> _inputs = [];
    private readonly Dictionary<string, OrtValue> _scalars = [];
    private readonly OrtAllocator? _deviceAllocator;
    private readonly OrtAllocator? _inputAllocator;
    private readonly StateVectors _state;
    private readonly StateVectors _sums;

    /// <summary>Starts from the weights of the model.</summary>
    /// <param name="graph">The training graph.</param>
    /// <param name="options">The session's options; by default the CPU with this library's kernels.</param>
    /// <param name="cudaDevice">The device, where the options have the CUDA execution provider; else null.</param>
    /// <param name="seed">Decides the masks of Dropout and DropPath, together with the number of the step.</param>
    public Trainer(TrainingGraph graph, SessionOptions? options = null, int? cudaDevice = null, long seed = 0)
    {
        ArgumentNullException.ThrowIfNull(graph);
        (_graph, _cudaDevice, _seed) = (graph, cudaDevice, seed);
        using var defaults = options is null ? DefaultOptions(graph.Precision) : null;
        _step = new(graph.Step, options ?? defaults!);
        _update = graph.Update is null ? null : new(graph.Update, options ?? defaults!);
        if (cudaDevice is { } device)
        {
            _deviceAllocator = Allocator("Cuda", device, OrtMemType.Default);
            // From page-locked memory the device copies at the full speed of the bus.
            _inputAllocator = Allocator("CudaPinned", device, OrtMemType.CpuOutput);
        }
        _state = new(graph.State, _deviceAllocator);
        _sums = new(graph.Sums, _deviceAllocator);
        var vectors = graph.State.Concat(graph.Sums).SelectMany(vector => new[] { vector.Name, vector.Next }).ToHashSet();
        foreach (var part in new[] { graph.Step.Graph, graph.Update?.Graph }.OfType<Graph>())
        {
            foreach (var name in part.Inputs.Where(name => !vectors.Contains(name) && !_inputs.ContainsKey(name)))
                _inputs[name] = Allocate(part.Info(name).Type!.Value, part.Info(name).Shape!.ToArray(), _inputAllocator);
            foreach (var name in part.Outputs.Where(name => !vectors.Contains(name)))
                _scalars[name] = Allocate(TensorElementType.Float, [], allocator: null);
        }
        if (_inputs.ContainsKey(TrainingGraph.LossScaleInput))
            _lossScale = new();
    }

    /// <summary>The number of batches so far: as many as steps, but for <see cref="TrainingOptions.AccumulationSteps"/>.</summary>
    public long BatchCount { get; private set; }

    /// <summary>The number of steps, which are updates of the parameters, so far.</summary>
    public long StepCount => BatchCount / _graph.AccumulationSteps;

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

    /// <summary>
    /// Trains on what the inputs hold. With <see cref="TrainingOptions.AccumulationSteps"/> calls before the last of a step add up
    /// gradients only.
    /// </summary>
    /// <param name="learningRate">The learning rate of this step.</param>
    /// <returns>The loss of the batch, with the parameters as they were before.</returns>
    /// <exception cref="InvalidOperationException">Gradients overflow in float16 however little the loss is scaled.</exception>
    public float Step(float learningRate)
    {
        BatchCount++;
        var isStep = BatchCount % _graph.AccumulationSteps == 0;
        if (_inputs.TryGetValue(TrainingGraph.StepInput, out var numbers))
            _graph.Optimizer.Prepare(StepCount - SkippedStepCount, learningRate, numbers.GetTensorMutableDataAsSpan<float>());
        if (_inputs.TryGetValue(TrainingGraph.LossScaleInput, out var lossScale))
            lossScale.GetTensorMutableDataAsSpan<float>()[0] = LossScale;
        if (_inputs.TryGetValue(TrainingGraph.NoiseInput, out var noise))
            Noise.Fill(noise.GetTensorMutableDataAsSpan<float>(), _seed, BatchCount);
        _step.Run(_inputs, _scalars, _state, _sums, _cudaDevice is not null);
        if (isStep)
        {
            _update?.Run(_inputs, _scalars, _state, _sums, _cudaDevice is not null);
            Adapt();
        }
        return Metric(TrainingGraph.LossOutput);
    }

    /// <summary>A metric of the last batch, by its name in <see cref="TrainingGraph.Metrics"/>.</summary>
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

    /// <summary>
    /// Writes parameters, moments, running statistics, sums of gradients and the number of batches to a safetensors file.
    /// </summary>
    public void SaveState(string path) => SafetensorsFile.Write(path, ReadState(), new Dictionary<string, string>
    {
        ["batches"] = BatchCount.ToString(CultureInfo.InvariantCulture),
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
        var (batchCount, skippedCount) = (Number<long>("batches"), Number<long>("skipped"));
        foreach (var vectors in new[] { _state, _sums })
        {
            for (var i = 0; i < vectors.Vectors.Count; i++)
                vectors.Start(i, Elements(vectors.Vectors[i]));
            vectors.Restart();
        }
        (BatchCount, SkippedStepCount) = (batchCount, skippedCount);
        if (_lossScale is not null)
            (_lossScale.Value, _lossScale.GoodSteps) = (Number<float>("loss_scale"), Number<long>("good_steps"));
        // On a device the first set was copied when it was bound.
        _step.Unbind();
        _update?.Unbind();

        ReadOnlySpan<float> Elements(StateVector vector) =>
            tensors.TryGetValue(vector.Name, out var tensor) && tensor.ElementCount == vector.Initial.Length
                ? tensor.AsSpan<float>()
                : throw new InvalidDataException($"'{path}' does not fit this training: '{vector.Name}' is "
                    + $"{tensor?.Shape.ToString() ?? "missing"}, not [{vector.Initial.Length}].");

        T Number<T>(string name)
            where T : INumber<T> =>
            file.Metadata.TryGetValue(name, out var text) && T.TryParse(text, CultureInfo.InvariantCulture, out var number)
                ? number
                : throw new InvalidDataException($"'{path}' holds no state of a training: its metadata lack the number '{name}'.");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // Bindings hold values, and values give their memory back to the allocators, which are the session's.
        _step.Unbind();
        _update?.Unbind();
        foreach (var value in _inputs.Values.Concat(_scalars.Values))
            value.Dispose();
        _state.Dispose();
        _sums.Dispose();
        _deviceAllocator?.Dispose();
        _inputAllocator?.Dispose();
        _update?.Dispose();
        _step.Dispose();
    }

    private void Adapt()
    {
        if (!_scalars.ContainsKey(TrainingGraph.GradientScaleOutput))
            return;
        var skipped = float.IsNaN(Metric(TrainingGraph.GradientScaleOutput));
        SkippedStepCount += skipped ? 1 : 0;
        _lossScale?.Update(skipped);
    }

    private static SessionOptions DefaultOptions(TrainingPrecision precision)
    {
        var options = new SessionOptions();
        // The kernels for the CPU are of float32; in half precision ONNX Runtime runs the operators' bodies.
        if (precision == TrainingPrecision.Float32)
            KernelLibrary.Register(options);
        return options;
    }

    private OrtAllocator Allocator(string name, int device, OrtMemType type)
    {
        using var memory = new OrtMemoryInfo(name, OrtAllocatorType.DeviceAllocator, device, type);
        return new(_step.Session, memory);
    }

    private Dictionary<string, Tensor> ReadState()
    {
        var tensors = new Dictionary<string, Tensor>();
        foreach (var vectors in new[] { _state, _sums }.Where(vectors => vectors.Vectors.Count > 0))
        {
            var values = _cudaDevice is { } device && vectors.Index > 0 ? CopyToHost(device, vectors) : vectors.Current;
            for (var i = 0; i < values.Length; i++)
                tensors[vectors.Vectors[i].Name] = Tensor.Create(values[i].GetTensorDataAsSpan<float>(), vectors.Vectors[i].Initial.Length);
            if (values != vectors.Current)
                Array.ForEach(values, value => value.Dispose());
        }
        return tensors;
    }

    // ONNX Runtime copies between devices where a session needs it; a graph of identities needs nothing else.
    private static OrtValue[] CopyToHost(int device, StateVectors vectors)
    {
        var builder = new GraphBuilder("copy");
        foreach (var vector in vectors.Vectors)
            builder.Output(vector.Next, builder.Input(vector.Name, TensorElementType.Float, [vector.Initial.Length]));
        using var options = SessionOptions.MakeSessionOptionWithCudaProvider(device);
        using var session = new InferenceSession(builder.ToModel().ToBytes(), options);
        using var binding = session.CreateIoBinding();
        using var runOptions = new RunOptions();
        var copies = Array.ConvertAll(vectors.Vectors.ToArray(), vector => StateVectors.Allocate(vector));
        for (var i = 0; i < copies.Length; i++)
        {
            binding.BindInput(vectors.Vectors[i].Name, vectors.Current[i]);
            binding.BindOutput(vectors.Vectors[i].Next, copies[i]);
        }
        session.RunWithBinding(runOptions, binding);
        return copies;
    }

    private static OrtValue Allocate(TensorElementType type, long[] dims, OrtAllocator? allocator) =>
        OrtValue.CreateAllocatedTensorValue(allocator ?? OrtAllocator.DefaultInstance, type, dims);
}
