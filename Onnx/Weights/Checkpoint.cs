using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>Trained values by name. Counters of batches that PyTorch keeps in batch normalisation are passed over.</summary>
public sealed class Checkpoint : WeightSource
{
    private readonly IReadOnlyDictionary<string, Tensor> _tensors;

    /// <summary>A checkpoint in memory.</summary>
    /// <param name="tensors">The tensors by their official names; floating-point ones of any width.</param>
    /// <param name="description">What the checkpoint is called in error messages, such as its path.</param>
    public Checkpoint(IReadOnlyDictionary<string, Tensor> tensors, string description = "the checkpoint") =>
        (_tensors, Description) = (tensors, description);

    /// <inheritdoc/>
    public override string Description { get; }

    /// <inheritdoc/>
    public override IEnumerable<string> Names =>
        _tensors.Keys.Where(name => !name.EndsWith("num_batches_tracked", StringComparison.Ordinal));

    /// <summary>Reads a <c>.safetensors</c> file.</summary>
    /// <exception cref="InvalidDataException">The file is malformed.</exception>
    /// <exception cref="NotSupportedException">The file is of another kind.</exception>
    public static Checkpoint Load(string path)
    {
        if (!path.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase))
            throw new NotSupportedException($"'{path}' is not a .safetensors file, the only kind of checkpoint that can be read.");
        using var file = SafetensorsFile.Open(path);
        return new(file.ReadAll(), $"'{path}'");
    }

    /// <inheritdoc/>
    public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
        _tensors.TryGetValue(name, out var tensor) ? ToFloat32(name, tensor) : null;

    private Tensor ToFloat32(string name, Tensor tensor) => tensor.Type switch
    {
        TensorElementType.Float => tensor,
        TensorElementType.Double => Convert<double>(tensor, value => (float)value),
        TensorElementType.Float16 => Convert<Half>(tensor, value => (float)value),
        TensorElementType.BFloat16 => Convert<ushort>(tensor, value => BitConverter.UInt32BitsToSingle((uint)value << 16)),
        _ => throw new InvalidDataException($"Parameter '{name}' of {Description} holds {tensor.Type}, not floating-point numbers."),
    };

    private static Tensor Convert<T>(Tensor tensor, Func<T, float> convert)
        where T : unmanaged
    {
        var source = MemoryMarshal.Cast<byte, T>(tensor.Data.Span);
        var values = new float[source.Length];
        for (var i = 0; i < values.Length; i++)
            values[i] = convert(source[i]);
        return Tensor.Create<float>(values, [.. tensor.Dims]);
    }
}
