using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>
/// A file of named tensors in the safetensors format: a JSON header, then the tensors' bytes. Opening reads and checks the header only;
/// each tensor is read from disk when it is asked for. Reading is thread-safe.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    private const string MetadataKey = "__metadata__";
    private const int LengthBytes = sizeof(long);
    private const long LargestHeader = 100_000_000;

    private static readonly Dictionary<string, TensorElementType> Types = new()
    {
        ["BOOL"] = TensorElementType.Bool,
        ["U8"] = TensorElementType.UInt8,
        ["I8"] = TensorElementType.Int8,
        ["U16"] = TensorElementType.UInt16,
        ["I16"] = TensorElementType.Int16,
        ["F16"] = TensorElementType.Float16,
        ["BF16"] = TensorElementType.BFloat16,
        ["U32"] = TensorElementType.UInt32,
        ["I32"] = TensorElementType.Int32,
        ["F32"] = TensorElementType.Float,
        ["U64"] = TensorElementType.UInt64,
        ["I64"] = TensorElementType.Int64,
        ["F64"] = TensorElementType.Double,
    };

    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private readonly string _path;
    private readonly SafeFileHandle _file;
    private readonly long _dataStart;

    private SafetensorsFile(string path)
    {
        _path = path;
        _file = File.OpenHandle(path);
        try
        {
            var header = ReadHeader(out _dataStart);
            ParseHeader(header);
            CheckLayout(RandomAccess.GetLength(_file) - _dataStart);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    /// <summary>The names of the tensors, in the order of the header.</summary>
    public IReadOnlyCollection<string> Names => _entries.Keys;

    /// <summary>The free text of the header, by key.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens a file and checks its header against the size of the file.</summary>
    /// <exception cref="InvalidDataException">The file is not a safetensors file, is cut off, or its header contradicts itself.</exception>
    public static SafetensorsFile Open(string path) => new(path);

    /// <summary>Whether the file has a tensor of that name.</summary>
    public bool Contains(string name) => _entries.ContainsKey(name);

    /// <summary>Reads a tensor.</summary>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    /// <exception cref="InvalidDataException">It is larger than 2 GB, the most that one <see cref="Tensor"/> holds.</exception>
    public Tensor Read(string name)
    {
        if (!_entries.TryGetValue(name, out var entry))
            throw new KeyNotFoundException($"'{_path}' has no tensor '{name}'.");
        if (entry.Length > Array.MaxLength)
            throw Malformed($"tensor '{name}' has {entry.Length} bytes, more than fit into memory as one tensor");
        var bytes = new byte[entry.Length];
        for (var done = 0; done < bytes.Length;)
        {
            var count = RandomAccess.Read(_file, bytes.AsSpan(done), _dataStart + entry.Start + done);
            if (count == 0)
                throw Malformed($"tensor '{name}' ends before its {entry.Length} bytes");
            done += count;
        }
        return new(entry.Type, entry.Dims, bytes);
    }

    /// <summary>Reads all tensors.</summary>
    public Dictionary<string, Tensor> ReadAll() => _entries.Keys.ToDictionary(name => name, Read, StringComparer.Ordinal);

    /// <summary>Writes a file. Tensors with larger elements come first, so that each is aligned to its element size.</summary>
    /// <param name="path">The file; replaced if it exists.</param>
    /// <param name="tensors">The tensors by name.</param>
    /// <param name="metadata">Free text by key.</param>
    public static void Write(
        string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, IEnumerable<KeyValuePair<string, string>>? metadata = null)
    {
        var ordered = tensors.OrderByDescending(pair => Tensor.SizeOf(pair.Value.Type))
            .ThenBy(pair => pair.Key, StringComparer.Ordinal).ToArray();
        var header = FormatHeader(ordered, metadata ?? []);
        using var stream = File.Create(path);
        Span<byte> length = stackalloc byte[LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        stream.Write(length);
        stream.Write(header);
        foreach (var (_, tensor) in ordered)
            stream.Write(tensor.Data.Span);
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static byte[] FormatHeader(KeyValuePair<string, Tensor>[] tensors, IEnumerable<KeyValuePair<string, string>> metadata)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            writer.WriteStartObject(MetadataKey);
            foreach (var (key, text) in metadata)
                writer.WriteString(key, text);
            writer.WriteEndObject();
            long offset = 0;
            foreach (var (name, tensor) in tensors)
            {
                writer.WriteStartObject(name);
                writer.WriteString("dtype", Types.First(pair => pair.Value == tensor.Type).Key);
                writer.WriteStartArray("shape");
                foreach (var dim in tensor.Dims)
                    writer.WriteNumberValue(dim);
                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(offset);
                writer.WriteNumberValue(offset += tensor.Data.Length);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        while (buffer.Length % LengthBytes != 0)
            buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }

    private byte[] ReadHeader(out long dataStart)
    {
        var fileLength = RandomAccess.GetLength(_file);
        Span<byte> lengthBytes = stackalloc byte[LengthBytes];
        if (RandomAccess.Read(_file, lengthBytes, 0) < LengthBytes)
            throw Malformed($"it has {fileLength} bytes, less than the {LengthBytes} of the header's length");
        var length = BinaryPrimitives.ReadInt64LittleEndian(lengthBytes);
        if (length is < 2 or > LargestHeader || length > fileLength - LengthBytes)
            throw Malformed($"its header would have {length} bytes, but the file has {fileLength}");
        var header = new byte[length];
        RandomAccess.Read(_file, header, LengthBytes);
        dataStart = LengthBytes + length;
        return header;
    }

    private void ParseHeader(byte[] header)
    {
        try
        {
            using var json = JsonDocument.Parse(header);
            foreach (var property in json.RootElement.EnumerateObject())
            {
                if (property.Name == MetadataKey)
                {
                    foreach (var text in property.Value.EnumerateObject())
                        _metadata[text.Name] = text.Value.GetString() ?? "";
                }
                else if (!_entries.TryAdd(property.Name, ParseEntry(property.Name, property.Value)))
                {
                    throw Malformed($"tensor '{property.Name}' is listed twice");
                }
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or DecoderFallbackException)
        {
            throw Malformed($"its header is not the JSON object it should be ({error.Message})", error);
        }
    }

    private Entry ParseEntry(string name, JsonElement entry)
    {
        if (!entry.TryGetProperty("dtype", out var dtype) || !entry.TryGetProperty("shape", out var shape)
            || !entry.TryGetProperty("data_offsets", out var offsets))
        {
            throw Malformed($"tensor '{name}' lacks its dtype, shape or data_offsets");
        }
        if (!Types.TryGetValue(dtype.GetString() ?? "", out var type))
            throw Malformed($"tensor '{name}' is of type '{dtype}'; known are {string.Join(", ", Types.Keys)}");
        var dims = shape.EnumerateArray().Select(dim => dim.GetInt64()).ToArray();
        var range = offsets.EnumerateArray().Select(offset => offset.GetInt64()).ToArray();
        if (range.Length != 2 || range[0] < 0 || range[1] < range[0])
            throw Malformed($"tensor '{name}' has the impossible data_offsets {offsets}");
        var result = new Entry(type, dims, range[0], range[1] - range[0]);
        if (Array.Exists(dims, dim => dim < 0) || ByteCount(type, dims) != result.Length)
            throw Malformed($"tensor '{name}' of type {dtype} and shape {shape} cannot take the {result.Length} bytes of its data_offsets");
        return result;
    }

    // The size that sizes and type stand for, or -1 where it is beyond what a file can have.
    private static long ByteCount(TensorElementType type, long[] dims)
    {
        var count = new UInt128(0, (ulong)Tensor.SizeOf(type));
        foreach (var dim in dims)
        {
            count *= (ulong)dim;
            if (count > long.MaxValue)
                return -1;
        }
        return (long)count;
    }

    private void CheckLayout(long dataLength)
    {
        long end = 0;
        foreach (var (name, entry) in _entries.OrderBy(pair => pair.Value.Start).ThenBy(pair => pair.Value.Length))
        {
            if (entry.Start < end)
                throw Malformed($"tensor '{name}' overlaps the one before it");
            if (entry.Start > end)
                throw Malformed($"nothing describes the {entry.Start - end} bytes before tensor '{name}'");
            end = entry.Start + entry.Length;
        }
        if (end != dataLength)
            throw Malformed($"its header describes {end} bytes of tensors, but {dataLength} follow");
    }

    private InvalidDataException Malformed(string reason, Exception? inner = null) =>
        new($"'{_path}' is not a valid safetensors file: {reason}.", inner);

    private readonly record struct Entry(TensorElementType Type, long[] Dims, long Start, long Length);
}
