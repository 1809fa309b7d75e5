using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>A graph of a training that runs on state which stays where the session is.</summary>
internal sealed class StepSession : IDisposable
{
    private readonly Graph _graph;
    private readonly RunOptions _runOptions = new();
    private readonly Dictionary<(int Slow, int Fast), OrtIoBinding> _bindings = [];

    public StepSession(OnnxModel model, SessionOptions options) => (_graph, Session) = (model.Graph, new(model.ToBytes(), options));

    public InferenceSession Session { get; }

    /// <summary>Runs the graph; state that it computes anew changes places.</summary>
    /// <param name="inputs">Host memory by name; the graph may take a part of them.</param>
    /// <param name="outputs">Host memory by name; the graph may give a part of them.</param>
    /// <param name="state">What changes with a step.</param>
    /// <param name="sums">What changes with a batch.</param>
    /// <param name="bindInputs">Whether the inputs have to be bound for each run, which copies them to the device.</param>
    public void Run(
        IReadOnlyDictionary<string, OrtValue> inputs, IReadOnlyDictionary<string, OrtValue> outputs, StateVectors state, StateVectors sums,
        bool bindInputs)
    {
        if (!_bindings.TryGetValue((state.Index, sums.Index), out var binding))
        {
            _bindings[(state.Index, sums.Index)] = binding = Session.CreateIoBinding();
            BindInputs(binding, inputs);
            foreach (var output in _graph.Outputs.Where(outputs.ContainsKey))
                binding.BindOutput(output, outputs[output]);
            BindState(binding, state);
            BindState(binding, sums);
        }
        else if (bindInputs)
        {
            BindInputs(binding, inputs);
        }
        Session.RunWithBinding(_runOptions, binding);
        foreach (var vectors in new[] { state, sums })
        {
            if (vectors.Vectors.Any(IsWritten))
                vectors.Swap();
        }
    }

    /// <summary>Forgets what was copied to the device.</summary>
    public void Unbind()
    {
        foreach (var binding in _bindings.Values)
            binding.Dispose();
        _bindings.Clear();
    }

    public void Dispose()
    {
        Unbind();
        _runOptions.Dispose();
        Session.Dispose();
    }

    private void BindInputs(OrtIoBinding binding, IReadOnlyDictionary<string, OrtValue> inputs)
    {
        foreach (var (name, value) in inputs)
        {
            if (_graph.Inputs.Contains(name))
                binding.BindInput(name, value);
        }
    }

    private void BindState(OrtIoBinding binding, StateVectors state)
    {
        for (var i = 0; i < state.Vectors.Count; i++)
        {
            var vector = state.Vectors[i];
            if (_graph.Inputs.Contains(vector.Name))
                binding.BindInput(vector.Name, state.Current[i]);
            if (IsWritten(vector))
                binding.BindOutput(vector.Next, state.Next[i]);
        }
    }

    private bool IsWritten(StateVector vector) => _graph.Outputs.Contains(vector.Next);
}
