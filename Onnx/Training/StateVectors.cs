using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>
/// Vectors that a training carries along, in two sets that change places. On a device a third set comes before them: it holds what the
/// training starts from in host memory.
/// </summary>
internal sealed class StateVectors : IDisposable
{
    private readonly OrtValue[][] _sets;

    public StateVectors(IReadOnlyList<StateVector> vectors, OrtAllocator? device)
    {
        Vectors = vectors;
        _sets = new OrtValue[device is null ? 2 : 3][];
        for (var i = 0; i < _sets.Length; i++)
            _sets[i] = [.. vectors.Select(vector => Allocate(vector, i == 0 ? null : device))];
        for (var i = 0; i < vectors.Count; i++)
            Start(i, vectors[i].Initial);
    }

    public IReadOnlyList<StateVector> Vectors { get; }

    /// <summary>The index of the set of now; 0 for what the training started from.</summary>
    public int Index { get; private set; }

    public OrtValue[] Current => _sets[Index];

    /// <summary>The set that the next run writes.</summary>
    public OrtValue[] Next => _sets[NextIndex];

    private int NextIndex => Index + 1 < _sets.Length ? Index + 1 : _sets.Length - 2;

    public static OrtValue Allocate(StateVector vector, OrtAllocator? allocator = null) =>
        OrtValue.CreateAllocatedTensorValue(allocator ?? OrtAllocator.DefaultInstance, TensorElementType.Float, [vector.Initial.Length]);

    public void Swap() => Index = NextIndex;

    /// <summary>Sets a vector to start from; <see cref="Restart"/> goes there.</summary>
    public void Start(int vector, ReadOnlySpan<float> elements) => elements.CopyTo(_sets[0][vector].GetTensorMutableDataAsSpan<float>());

    public void Restart() => Index = 0;

    public void Dispose()
    {
        foreach (var value in _sets.SelectMany(set => set))
            value.Dispose();
    }
}
