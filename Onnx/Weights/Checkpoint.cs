using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>Trained values by name. Counters of batches that PyTorch keeps in batch normalisation are passed over.</summary>
public sealed class Checkpoint : WeightSource
{
    private static readonly string[] PrefixesOfWrappers = ["module.", "_orig_mod."];

    private readonly IReadOnlyDictionary<string, Tensor> _tensors;

    /// <summary>A checkpoint in memory.</summary>
    /// <param name="tensors">The tensors by their official names; floating-point ones of any width.</param>
    /// <param name="description">What the checkpoint is called in error messages, such as its path.</param>
    public Checkpoint(IReadOnlyDictionary<string, Tensor> tensors, string description = "the checkpoint")
        : this(tensors, description, [])
    {
    }

    private Checkpoint(IReadOnlyDictionary<string, Tensor> tensors, string description, IReadOnlyList<string> notes) =>
        (_tensors, Description, Notes) = (tensors, description, notes);

    /// <summary>
    /// What was done to arrive at official names, for a log: the entry of the file that was taken, the prefix that was taken off, the
    /// library whose names were mapped, and what to beware of then.
    /// </summary>
    public IReadOnlyList<string> Notes { get; }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <inheritdoc/>
    public override IEnumerable<string> Names =>
        _tensors.Keys.Where(name => !name.EndsWith("num_batches_tracked", StringComparison.Ordinal));

    /// <summary>
    /// Reads a <c>.safetensors</c> file, or a <c>.pth</c> or <c>.pt</c> file of PyTorch 1.6 or newer (<see cref="PyTorchCheckpoint"/>),
    /// whichever its content is. Prefixes that wrappers of modules put before all names are taken off, and the names that timm,
    /// torchvision and Hugging Face transformers use for an architecture are mapped to the official ones (<see cref="Notes"/>).
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="entry">The entry of a PyTorch file that holds the weights, such as <c>model_ema</c>; null to find it.</param>
    /// <exception cref="InvalidDataException">
    /// The file is malformed, holds anything but tensors and plain containers, or computes something that no architecture here does.
    /// </exception>
    /// <exception cref="NotSupportedException">The file is of another kind; the message says how to convert it.</exception>
    public static Checkpoint Load(string path, string? entry = null)
    {
        var notes = new List<string>();
        var tensors = Read(path, entry, notes);
        while (Array.Find(PrefixesOfWrappers, prefix => IsBeforeAll(prefix, tensors.Keys)) is { } prefix)
        {
            tensors = tensors.ToDictionary(pair => pair.Key[prefix.Length..], pair => pair.Value, StringComparer.Ordinal);
            notes.Add($"prefix '{prefix}' taken off all names");
        }
        return new(WithOfficialNames(tensors, path, notes), $"'{path}'", notes);
    }

    private static Dictionary<string, Tensor> Read(string path, string? entry, List<string> notes)
    {
        Span<byte> start = stackalloc byte[9];
        using (var stream = File.OpenRead(path))
            start = start[..stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false)];
        if (start.StartsWith("PK\x03\x04"u8))
        {
            using var file = PyTorchCheckpoint.Open(path, entry);
            if (file.Entry is not null)
                notes.Add($"entry '{file.Entry}' taken");
            return file.ReadAll();
        }
        if (start is [.., (byte)'{'] && start.Length == 9)
        {
            using var file = SafetensorsFile.Open(path);
            return file.ReadAll();
        }
        throw new NotSupportedException(start is [0x80, ..]
            ? $"'{path}' is a bare pickle, as PyTorch wrote before version 1.6. In Python: "
                + $"torch.save(torch.load('{path}', map_location='cpu', weights_only=True), 'weights.pth')"
            : $"'{path}' is neither a .safetensors file nor a .pth or .pt file of PyTorch 1.6 or newer.");
    }

    private static bool IsBeforeAll(string prefix, IReadOnlyCollection<string> names) =>
        names.Count > 0 && names.All(name => name.StartsWith(prefix, StringComparison.Ordinal));

    private static Dictionary<string, Tensor> WithOfficialNames(Dictionary<string, Tensor> tensors, string path, List<string> notes)
    {
        if (KeyLayout.Find(tensors.Keys) is not { } layout)
            return tensors;
        if (layout.Obstacle is not null)
            throw new InvalidDataException($"'{path}' is {layout.Name}, which no architecture here takes: {layout.Obstacle}.");
        notes.Add($"names of {layout.Name} mapped to the official ones");
        if (layout.Caveat is not null)
            notes.Add(layout.Caveat);
        var official = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (var (name, tensor) in tensors)
        {
            var officialName = layout.Official(name);
            if (!official.TryAdd(officialName, layout.Convert(officialName, ToFloat32(tensor) ?? tensor)))
                throw new InvalidDataException($"'{path}' has two tensors for '{officialName}', one of them '{name}'.");
        }
        return official;
    }

    /// <inheritdoc/>
    public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization)
    {
        if (!_tensors.TryGetValue(name, out var tensor))
            return null;
        return ToFloat32(tensor)
            ?? throw new InvalidDataException($"Parameter '{name}' of {Description} holds {tensor.Type}, not floating-point numbers.");
    }

    /// <summary>The element type and the sizes of a tensor as the file has it.</summary>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    public ValueInfo Describe(string name) => _tensors.TryGetValue(name, out var tensor)
        ? new(tensor.Type, tensor.Shape)
        : throw new KeyNotFoundException($"{Description} has no tensor '{name}'.");

    private static Tensor? ToFloat32(Tensor tensor) => tensor.Type switch
    {
        TensorElementType.Float => tensor,
        TensorElementType.Double => Convert<double>(tensor, value => (float)value),
        TensorElementType.Float16 => Convert<Half>(tensor, value => (float)value),
        TensorElementType.BFloat16 => Convert<ushort>(tensor, value => BitConverter.UInt32BitsToSingle((uint)value << 16)),
        _ => null,
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
