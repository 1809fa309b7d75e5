using Microsoft.ML.Attention.Onnx.Weights.PyTorch;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>
/// The tensors of a <c>.pth</c> or <c>.pt</c> file as <c>torch.save</c> has written them since PyTorch 1.6 (a zip file). Opening reads
/// the list of tensors only; each is read from disk when it is asked for. Reading is thread-safe.
/// <para>Such files contain a pickle, which in Python can run any program. Here nothing can be executed: tensors, dictionaries, lists,
/// tuples, sets, text and numbers are read, and a file that asks for anything else is refused with the name of what it asks for. No
/// memory is taken on a file's word: all sizes are held to the length of the file.</para>
/// <para>Where the file holds more than the weights, the entry is taken that is the first of <c>state_dict</c>, <c>model</c>,
/// <c>model_state_dict</c>, <c>net</c>, <c>network</c>, <c>weights</c>, <c>params</c>, <c>module</c>, then the averages
/// <c>state_dict_ema</c>, <c>model_ema</c>, <c>ema_state_dict</c>, <c>ema</c>; otherwise the only entry that has tensors.</para>
/// </summary>
public sealed class PyTorchCheckpoint : IDisposable
{
    private const int LargestPickle = 1 << 24;
    private const int PermittedExpansion = 4;
    private const int SmallSize = 1 << 20;

    private static readonly string[] EntriesOfWeights =
    [
        "state_dict", "model", "model_state_dict", "net", "network", "weights", "params", "module",
        "state_dict_ema", "model_ema", "ema_state_dict", "ema",
    ];

    private readonly string _path;
    private readonly StoredZip _file;
    private readonly string _folder;
    private readonly Dictionary<string, StridedTensor> _tensors;

    private PyTorchCheckpoint(string path, StoredZip file, string? entry)
    {
        (_path, _file) = (path, file);
        _folder = FindFolder();
        CheckByteOrder();
        (_tensors, Entry) = Select(new PickleReader(ReadEntry("data.pkl", LargestPickle), FindStorage).Read(), entry);
        var total = _tensors.Values.Sum(tensor => tensor.ByteCount);
        if (total > (PermittedExpansion * file.FileLength) + SmallSize)
            throw new InvalidDataException($"its tensors would take {total} bytes, out of a file of {file.FileLength}");
    }

    /// <summary>The names of the tensors, in the order of the file.</summary>
    public IReadOnlyCollection<string> Names => _tensors.Keys;

    /// <summary>The entry of the file that holds the tensors, such as <c>state_dict</c>; null if the file is nothing else.</summary>
    public string? Entry { get; }

    /// <summary>Opens a file and reads its list of tensors.</summary>
    /// <param name="path">The file.</param>
    /// <param name="entry">The entry that holds the weights, such as <c>model_ema</c>; null to find it.</param>
    /// <exception cref="InvalidDataException">
    /// The file is damaged, its pickle asks for something other than tensors and plain containers, or it has no (such) weights.
    /// </exception>
    /// <exception cref="NotSupportedException">The file is a TorchScript program or of another kind.</exception>
    public static PyTorchCheckpoint Open(string path, string? entry = null)
    {
        StoredZip? file = null;
        try
        {
            file = StoredZip.Open(path);
            return new(path, file, entry);
        }
        catch (InvalidDataException error)
        {
            file?.Dispose();
            throw new InvalidDataException($"'{path}' cannot be read as a PyTorch checkpoint: {error.Message}.", error);
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    /// <summary>Reads a tensor, its elements in row-major order whatever its strides in the file.</summary>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    /// <exception cref="InvalidDataException">The file has changed since it was opened.</exception>
    public Tensor Read(string name) => _tensors.TryGetValue(name, out var tensor)
        ? tensor.Read(_file)
        : throw new KeyNotFoundException($"'{_path}' has no tensor '{name}'.");

    /// <summary>Reads all tensors.</summary>
    public Dictionary<string, Tensor> ReadAll() => _tensors.Keys.ToDictionary(name => name, Read, StringComparer.Ordinal);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    // All entries lie in one folder, whose name is that of the file when it was saved.
    private string FindFolder()
    {
        var pickles = _file.Names.Where(name => name.EndsWith("/data.pkl", StringComparison.Ordinal)).ToArray();
        if (pickles is not [var pickle])
        {
            throw new NotSupportedException(
                $"'{_path}' is a zip file with {pickles.Length} entries 'data.pkl' where a PyTorch checkpoint has one.");
        }
        var folder = pickle[..^"data.pkl".Length];
        if (_file.Names.Any(name => name == folder + "constants.pkl" || name.StartsWith(folder + "code/", StringComparison.Ordinal)))
        {
            throw new NotSupportedException($"'{_path}' is a TorchScript program, not weights alone. In Python: "
                + $"torch.save(torch.jit.load('{_path}').state_dict(), 'weights.pth')");
        }
        return folder;
    }

    private void CheckByteOrder()
    {
        if (_file.Names.Contains(_folder + "byteorder") && !ReadEntry("byteorder", 16).AsSpan().SequenceEqual("little"u8))
            throw new InvalidDataException("it was written on a machine of another byte order; save it again on a little-endian one");
    }

    private byte[] ReadEntry(string name, int largest)
    {
        var entry = _file.Find(_folder + name)!.Value;
        if (entry.Length > largest)
            throw new InvalidDataException($"its entry '{name}' has {entry.Length} bytes, more than the {largest} that weights need");
        var bytes = new byte[entry.Length];
        _file.Read(entry, 0, bytes);
        return bytes;
    }

    private object FindStorage(object? identifier)
    {
        if (identifier is not object?[] parts || parts is not ["storage", StorageType type, string key, _, long])
            throw new InvalidDataException("its pickle refers to something outside it that is not a storage");
        return _file.Find($"{_folder}data/{key}") is { } entry
            ? new Storage(entry, type.Type)
            : throw new InvalidDataException($"it lacks the storage '{key}' that its pickle refers to");
    }

    private static (Dictionary<string, StridedTensor> Tensors, string? Entry) Select(object? root, string? entry)
    {
        if (root is not PickleDictionary dictionary)
            throw new InvalidDataException("it holds no dictionary of tensors; save model.state_dict()");
        var named = dictionary.Named();
        if (entry is null && TensorsOf(named) is { Count: > 0 } tensors)
            return (tensors, null);
        var candidates = named
            .Where(pair => pair.Value is PickleDictionary)
            .Select(pair => (pair.Key, Tensors: TensorsOf(((PickleDictionary)pair.Value!).Named())))
            .Where(candidate => candidate.Tensors.Count > 0)
            .ToDictionary(candidate => candidate.Key, candidate => candidate.Tensors);
        var chosen = entry ?? EntriesOfWeights.FirstOrDefault(candidates.ContainsKey)
            ?? (candidates.Count == 1 ? candidates.Keys.Single() : null);
        if (chosen is not null && candidates.TryGetValue(chosen, out tensors))
            return (tensors, chosen);
        var content = $"it has {string.Join(", ", named.Keys.Select(name => $"'{name}'"))}"
            + $" of which hold tensors: {(candidates.Count == 0 ? "none" : string.Join(", ", candidates.Keys))}";
        throw new InvalidDataException(entry is null
            ? $"its weights cannot be told from the rest: {content}; name the entry to take"
            : $"it has no weights under '{entry}': {content}");
    }

    private static Dictionary<string, StridedTensor> TensorsOf(Dictionary<string, object?> named) => named
        .Where(pair => pair.Value is StridedTensor)
        .ToDictionary(pair => pair.Key, pair => (StridedTensor)pair.Value!, StringComparer.Ordinal);
}
