using System.Buffers.Binary;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Microsoft.ML.Attention.Onnx.Weights.PyTorch;

/// <summary>
/// A zip file of which entries are read that are stored without compression, as <c>torch.save</c> writes them: each is a stretch of the
/// file, so none can be larger than the file. Opening reads the directory only. Reading is thread-safe.
/// </summary>
internal sealed class StoredZip : IDisposable
{
    private const int EndLength = 22;
    private const int LongestComment = ushort.MaxValue;
    private const int Zip64LocatorLength = 20;
    private const int Zip64EndLength = 56;
    private const int DirectoryEntryLength = 46;
    private const int LocalHeaderLength = 30;
    private const int LargestDirectory = 1 << 26;
    private const ushort Zip64Extra = 1;

    private readonly SafeFileHandle _file;
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    private StoredZip(SafeFileHandle file)
    {
        _file = file;
        FileLength = RandomAccess.GetLength(file);
        try
        {
            ReadDirectory();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyCollection<string> Names => _entries.Keys;

    public long FileLength { get; }

    /// <exception cref="InvalidDataException">The file is not such a zip file.</exception>
    public static StoredZip Open(string path) => new(File.OpenHandle(path));

    /// <summary>The entry of that name, or null.</summary>
    /// <exception cref="InvalidDataException">It is compressed or encrypted.</exception>
    public Entry? Find(string name)
    {
        if (!_entries.TryGetValue(name, out var entry))
            return null;
        return entry.IsStored ? entry : throw new InvalidDataException(
            $"its entry '{name}' is compressed or encrypted, which torch.save never does; save the file again with PyTorch");
    }

    /// <summary>Reads a part of an entry.</summary>
    public void Read(Entry entry, long offset, Span<byte> bytes)
    {
        if (offset < 0 || offset > entry.Length - bytes.Length)
            throw new InvalidDataException($"an entry of {entry.Length} bytes has no {bytes.Length} bytes at {offset}");
        ReadAt(entry.Start + offset, bytes);
    }

    public void Dispose() => _file.Dispose();

    private void ReadDirectory()
    {
        var (start, length, count) = FindDirectory();
        if (start < 0 || length < 0 || start > FileLength - length || length > LargestDirectory)
            throw new InvalidDataException($"its zip directory cannot lie at {start} with {length} bytes in a file of {FileLength}");
        var directory = new byte[length];
        ReadAt(start, directory);
        var position = 0;
        for (long i = 0; i < count; i++)
            position += ReadEntry(directory.AsSpan(position));
    }

    private (long Start, long Length, long Count) FindDirectory()
    {
        var tail = new byte[(int)Math.Min(FileLength, EndLength + LongestComment)];
        ReadAt(FileLength - tail.Length, tail);
        var end = tail.AsSpan().LastIndexOf("PK\x05\x06"u8);
        if (end < 0 || tail.Length - end < EndLength)
            throw new InvalidDataException("the zip directory at its end is missing: the file is cut off, or not a zip file");
        var record = tail.AsSpan(end);
        var count = BinaryPrimitives.ReadUInt16LittleEndian(record[10..]);
        var length = BinaryPrimitives.ReadUInt32LittleEndian(record[12..]);
        var start = BinaryPrimitives.ReadUInt32LittleEndian(record[16..]);
        if (count < ushort.MaxValue && length < uint.MaxValue && start < uint.MaxValue)
            return (start, length, count);

        var locator = new byte[Zip64LocatorLength];
        ReadAt(FileLength - tail.Length + end - locator.Length, locator);
        if (!locator.AsSpan().StartsWith("PK\x06\x07"u8))
            throw new InvalidDataException("its zip directory lacks the 64-bit part that it refers to");
        var long64 = new byte[Zip64EndLength];
        ReadAt(BinaryPrimitives.ReadInt64LittleEndian(locator.AsSpan(8)), long64);
        if (!long64.AsSpan().StartsWith("PK\x06\x06"u8))
            throw new InvalidDataException("its zip directory lacks the 64-bit part that it refers to");
        return (
            BinaryPrimitives.ReadInt64LittleEndian(long64.AsSpan(48)),
            BinaryPrimitives.ReadInt64LittleEndian(long64.AsSpan(40)),
            BinaryPrimitives.ReadInt64LittleEndian(long64.AsSpan(32)));
    }

    private int ReadEntry(ReadOnlySpan<byte> record)
    {
        if (record.Length < DirectoryEntryLength || !record.StartsWith("PK\x01\x02"u8))
            throw new InvalidDataException("its zip directory is damaged");
        var flags = BinaryPrimitives.ReadUInt16LittleEndian(record[8..]);
        var method = BinaryPrimitives.ReadUInt16LittleEndian(record[10..]);
        long stored = BinaryPrimitives.ReadUInt32LittleEndian(record[20..]);
        long length = BinaryPrimitives.ReadUInt32LittleEndian(record[24..]);
        var nameLength = BinaryPrimitives.ReadUInt16LittleEndian(record[28..]);
        var extraLength = BinaryPrimitives.ReadUInt16LittleEndian(record[30..]);
        var commentLength = BinaryPrimitives.ReadUInt16LittleEndian(record[32..]);
        long header = BinaryPrimitives.ReadUInt32LittleEndian(record[42..]);
        var total = DirectoryEntryLength + nameLength + extraLength + commentLength;
        if (record.Length < total)
            throw new InvalidDataException("its zip directory is damaged");
        var name = Encoding.UTF8.GetString(record.Slice(DirectoryEntryLength, nameLength));
        ReadLongSizes(record.Slice(DirectoryEntryLength + nameLength, extraLength), ref length, ref stored, ref header);

        var isStored = (flags & 1) == 0 && method == 0 && stored == length;
        if (!_entries.TryAdd(name, new(StartOfData(name, header, stored), stored, isStored)))
            throw new InvalidDataException($"it has two entries named '{name}'");
        return total;
    }

    // Sizes that do not fit 32 bits are in an extra field, in this order, those only.
    private static void ReadLongSizes(ReadOnlySpan<byte> extra, ref long length, ref long stored, ref long header)
    {
        while (extra.Length >= 4)
        {
            var size = BinaryPrimitives.ReadUInt16LittleEndian(extra[2..]);
            if (size > extra.Length - 4)
                return;
            var field = extra.Slice(4, size);
            if (BinaryPrimitives.ReadUInt16LittleEndian(extra) == Zip64Extra)
            {
                Take(ref length, ref field);
                Take(ref stored, ref field);
                Take(ref header, ref field);
            }
            extra = extra[(4 + size)..];
        }

        static void Take(ref long value, ref ReadOnlySpan<byte> field)
        {
            if (value != uint.MaxValue || field.Length < sizeof(long))
                return;
            value = BinaryPrimitives.ReadInt64LittleEndian(field);
            field = field[sizeof(long)..];
        }
    }

    private long StartOfData(string name, long header, long length)
    {
        Span<byte> local = stackalloc byte[LocalHeaderLength];
        ReadAt(header, local);
        if (!local.StartsWith("PK\x03\x04"u8))
            throw new InvalidDataException($"its entry '{name}' does not begin where the zip directory says");
        var start = header + LocalHeaderLength
            + BinaryPrimitives.ReadUInt16LittleEndian(local[26..]) + BinaryPrimitives.ReadUInt16LittleEndian(local[28..]);
        if (length < 0 || start > FileLength - length)
            throw new InvalidDataException($"its entry '{name}' of {length} bytes reaches beyond the end of the file");
        return start;
    }

    private void ReadAt(long position, Span<byte> bytes)
    {
        if (position < 0 || position > FileLength - bytes.Length)
            throw new InvalidDataException($"a file of {FileLength} bytes has no {bytes.Length} bytes at {position}: it is cut off");
        while (bytes.Length > 0)
        {
            var count = RandomAccess.Read(_file, bytes, position);
            if (count == 0)
                throw new InvalidDataException("it became shorter while it was read");
            bytes = bytes[count..];
            position += count;
        }
    }

    /// <summary>Where an entry's bytes lie in the file.</summary>
    public readonly record struct Entry(long Start, long Length, bool IsStored);
}
