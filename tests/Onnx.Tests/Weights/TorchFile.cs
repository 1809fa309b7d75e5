using System.IO.Compression;
using System.Text;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>Writes files of torch.save's form, with any pickle in them.</summary>
internal sealed class TorchFile
{
    private readonly MemoryStream _pickle = new();
    private readonly List<(string Name, byte[] Content)> _entries = [];

    public string Folder { get; init; } = "archive";

    public CompressionLevel Compression { get; init; } = CompressionLevel.NoCompression;

    /// <summary>Adds instructions; a character stands for the byte of its code.</summary>
    public TorchFile Pickle(string instructions)
    {
        _pickle.Write(Encoding.Latin1.GetBytes(instructions));
        return this;
    }

    /// <summary>Adds text (BINUNICODE).</summary>
    public TorchFile Text(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        _pickle.WriteByte((byte)'X');
        _pickle.Write(BitConverter.GetBytes(bytes.Length));
        _pickle.Write(bytes);
        return this;
    }

    /// <summary>Adds integers (LONG1).</summary>
    public TorchFile Integers(params ReadOnlySpan<long> integers)
    {
        foreach (var integer in integers)
        {
            _pickle.Write([0x8a, sizeof(long)]);
            _pickle.Write(BitConverter.GetBytes(integer));
        }
        return this;
    }

    /// <summary>Adds a tensor, as _rebuild_tensor_v2 makes it.</summary>
    public TorchFile Tensor(string storage, string key, long count, long offset, long[] sizes, long[] strides) =>
        Pickle("ctorch._utils\n_rebuild_tensor_v2\n((").Text("storage").Pickle($"ctorch\n{storage}\n").Text(key).Text("cpu").Integers(count)
            .Pickle("tQ").Integers(offset).Pickle("(").Integers(sizes).Pickle("t(").Integers(strides)
            .Pickle("t\x89" + "ccollections\nOrderedDict\n)RtR");

    public TorchFile Entry(string name, byte[] content)
    {
        _entries.Add((name, content));
        return this;
    }

    public byte[] ToBytes()
    {
        using var stream = new MemoryStream();
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, content) in _entries.Prepend(("data.pkl", _pickle.ToArray())))
            {
                using var entry = zip.CreateEntry($"{Folder}/{name}", Compression).Open();
                entry.Write(content);
            }
        }
        return stream.ToArray();
    }
}
