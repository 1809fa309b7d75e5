using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Inputs of a run by name, disposed of together.</summary>
internal sealed class OrtValues : IDisposable
{
    private readonly List<(string Name, OrtValue Value)> _values = [];

    public void Add(string name, OrtValue value) => _values.Add((name, value));

    public void Bind(OrtIoBinding binding) => _values.ForEach(entry => binding.BindInput(entry.Name, entry.Value));

    public void Dispose() => _values.ForEach(entry => entry.Value.Dispose());
}
