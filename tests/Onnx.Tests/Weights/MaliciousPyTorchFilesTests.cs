using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

/// <summary>Files made to run programs, to take memory, or to read what is not theirs.</summary>
public sealed class MaliciousPyTorchFilesTests : IDisposable
{
    private const string Start = "\x80\x02";

    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void The_files_written_here_are_read_if_nothing_is_wrong_with_them()
    {
        Write(Valid());
        using var file = PyTorchCheckpoint.Open(_path);
        Assert.Equal([1, 2, 3, 4], file.Read("weight").AsSpan<float>().ToArray());
    }

    [Theory]
    [InlineData("cos\nsystem\nX\x04\0\0\0trueq\0\x85R.", "'os.system'")]
    [InlineData("c__builtin__\nexec\nX\x04\0\0\0pass\x85R.", "'__builtin__.exec'")]
    [InlineData("cbuiltins\neval\nX\x01\0\0\0" + "1\x85R.", "'builtins.eval'")]
    [InlineData("csubprocess\nPopen\n)\x81}b.", "'subprocess.Popen'")]
    [InlineData("cargparse\nNamespace\n)\x81}b.", "'argparse.Namespace'")]
    [InlineData("c__builtin__\ngetattr\n.", "'__builtin__.getattr'")]
    [InlineData("ctorch\nload\n.", "'torch.load'")]
    [InlineData("ctorch._utils\n_rebuild_sparse_tensor\n.", "'torch._utils._rebuild_sparse_tensor'")]
    [InlineData("ctorch\nComplexFloatStorage\n.", "'torch.ComplexFloatStorage'")]
    [InlineData("ctorch.hub\nload\n.", "'torch.hub.load'")]
    [InlineData("(X\x04\0\0\0trueios\nsystem\n.", "'os.system'")]
    [InlineData("\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "'os.system'")]
    [InlineData("\x8c\x11" + "collections\nos\n.x\x8c\x06system\x93.", "system'")]
    public void Whatever_is_not_a_tensor_or_plain_container_is_refused_by_name(string pickle, string name)
    {
        var message = Refused(new TorchFile().Pickle(Start + pickle));
        Assert.Contains(name, message);
        Assert.Contains("nothing was executed", message);
    }

    [Fact]
    public void A_program_hidden_behind_good_weights_is_refused_too() =>
        Assert.Contains("'posix.system'", Refused(
            Weight(new TorchFile().Pickle(Start + "cposix\nsystem\nX\x04\0\0\0true\x85R0}"), 4, 0, [4], [1]).Pickle("s.")));

    [Theory]
    [InlineData("ccollections\nOrderedDict\nN\x85R.", "with arguments that it does not take")]
    [InlineData("ctorch._utils\n_rebuild_tensor_v2\n)R.", "with arguments that it does not take")]
    [InlineData("cnumpy\ndtype\nX\x01\0\0\0O\x85R.", "'numpy.dtype' with arguments")]
    [InlineData("c_codecs\nencode\nX\x01\0\0\0OX\x04\0\0\0zlib\x86R.", "'_codecs.encode' with arguments")]
    [InlineData("K\x01)R.", "cannot be called")]
    [InlineData("ccollections\nOrderedDict\nctorch\nSize\n\x81.", "cannot be called")]
    [InlineData("]}b.", "sets attributes")]
    [InlineData("K\x01K\x01" + "a.", "not a list")]
    [InlineData("K\x01K\x01K\x01s.", "not a dictionary")]
    [InlineData("}(K\x01u.", "not a dictionary")]
    [InlineData("t.", "did not open")]
    [InlineData("(.", "not on the stack")]
    [InlineData(".", "not on the stack")]
    [InlineData("h\x05.", "recalls value 5")]
    [InlineData("K\x01K\x02\x93.", "whose name is not text")]
    [InlineData("I1\n.", "instruction 0x49")]
    [InlineData("\x82\x01.", "instruction 0x82")]
    [InlineData("X\xff\xff\xff\x7f", "a value of 2147483647")]
    [InlineData("X\xff\xff\xff\xff", "a value of 4294967295")]
    [InlineData("\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "a value of 18446744073709551615")]
    [InlineData("B\x09\0\0\0abc", "in the middle of a value")]
    [InlineData("\x8a\xff\x01.", "in the middle of a value")]
    [InlineData("cos", "in the middle of a name")]
    [InlineData("}", "in the middle of a value")]
    [InlineData("\x80\x09.", "protocol 9")]
    [InlineData("K\x01.", "no dictionary of tensors")]
    [InlineData("}.", "cannot be told from the rest")]
    [InlineData("K\x01Q.", "not a storage")]
    [InlineData("(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + "9X\x03\0\0\0cpuK\x01tQ.", "lacks the storage '9'")]
    [InlineData("(X\x07\0\0\0storagectorch\nFloatStorage\nX\x0b\0\0\0../data.pklX\x03\0\0\0cpuK\x01tQ.", "lacks the storage")]
    public void Damaged_pickles_are_refused(string pickle, string reason) =>
        Assert.Contains(reason, Refused(new TorchFile().Pickle(Start + pickle)));

    [Theory]
    [InlineData(0, new long[] { 5 }, new long[] { 1 }, "beyond its storage")]
    [InlineData(1, new long[] { 4 }, new long[] { 1 }, "beyond its storage")]
    [InlineData(-1, new long[] { 4 }, new long[] { 1 }, "not a tensor")]
    [InlineData(3, new long[] { 4 }, new long[] { -1 }, "not a tensor")]
    [InlineData(0, new long[] { -4 }, new long[] { 1 }, "not a tensor")]
    [InlineData(0, new long[] { 2, 2 }, new long[] { 1 }, "not a tensor")]
    [InlineData(0, new long[] { 2, 3 }, new long[] { 2, 1 }, "beyond its storage")]
    [InlineData(0, new long[] { 2, 2 }, new long[] { long.MaxValue, 1 }, "larger than any file")]
    [InlineData(long.MaxValue, new long[] { 1 }, new long[] { 1 }, "larger than any file")]
    [InlineData(0, new[] { 1L << 40, 1L << 40 }, new long[] { 0, 0 }, "larger than any file")]
    [InlineData(0, new[] { 1L << 40 }, new long[] { 0 }, "more than fit into memory")]
    [InlineData(0, new[] { 1L << 28 }, new long[] { 0 }, "would take 1073741824 bytes")]
    public void Views_that_their_storage_does_not_hold_are_refused(long offset, long[] sizes, long[] strides, string reason) =>
        Assert.Contains(reason, Refused(Weight(new TorchFile().Pickle(Start + "}"), 4, offset, sizes, strides).Pickle("s.")));

    [Fact]
    public void Many_views_of_one_storage_take_no_more_memory_than_the_file_warrants()
    {
        var file = new TorchFile().Pickle(Start + "}(").Entry("data/0", new byte[1 << 16]);
        for (var i = 0; i < 1000; i++)
            file.Text($"{i}").Tensor("FloatStorage", "0", 1 << 14, 0, [1 << 14], [1]);
        Assert.Contains("would take 65536000 bytes", Refused(file.Pickle("u.")));
    }

    [Fact]
    public void Nesting_of_any_depth_does_no_harm()
    {
        var deep = new string(']', 500_000) + new string('a', 499_999);
        Assert.Contains("no dictionary of tensors", Refused(new TorchFile().Pickle(Start + deep + ".")));
        Assert.Contains("more than 1048576 values", Refused(new TorchFile().Pickle(Start + new string(']', 1_100_000))));
        Assert.Contains("no dictionary of tensors", Refused(new TorchFile().Pickle(Start + "]q\0h\0a.")));
    }

    [Fact]
    public void Compressed_entries_are_refused_unopened()
    {
        var file = new TorchFile { Compression = CompressionLevel.SmallestSize }.Pickle(Start + new string(']', 10_000_000));
        Assert.Contains("'archive/data.pkl' is compressed", Refused(file));
    }

    [Fact]
    public void Pickles_larger_than_weights_need_are_refused() =>
        Assert.Contains("more than the 16777216 that weights need", Refused(new TorchFile().Pickle(Start + new string('N', 1 << 24))));

    [Fact]
    public void Zip_files_that_contradict_themselves_are_refused()
    {
        Assert.Contains("two entries named 'archive/data/0'", Refused(Valid().Entry("data/0", new byte[16])));
        Assert.Contains("another byte order", Refused(Valid().Entry("byteorder", "big"u8.ToArray())));

        var bytes = Valid().ToBytes();
        var directory = bytes.AsSpan().IndexOf("PK\x01\x02"u8);
        Damage("reaches beyond the end", directory + 20, uint.MaxValue - 1, directory + 24, uint.MaxValue - 1);
        Damage("has no 30 bytes at 4294967294", directory + 42, uint.MaxValue - 1);
        Damage("does not begin where", directory + 42, 1);
        Damage("64-bit part", bytes.Length - 6, uint.MaxValue);
        Damage("cannot lie at 4294967294", bytes.Length - 6, uint.MaxValue - 1);
        Damage("is damaged", bytes.Length - 6, 0);

        void Damage(string reason, params ReadOnlySpan<long> changes)
        {
            var damaged = bytes.ToArray();
            for (var i = 0; i < changes.Length; i += 2)
                BinaryPrimitives.WriteUInt32LittleEndian(damaged.AsSpan((int)changes[i]), (uint)changes[i + 1]);
            File.WriteAllBytes(_path, damaged);
            Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => Checkpoint.Load(_path)).Message);
        }
    }

    [Fact]
    public void Zip_files_of_other_programs_are_refused()
    {
        Write(new TorchFile { Folder = "a/b" }.Pickle(Start + "}."));
        Assert.Contains("no weights", Assert.Throws<InvalidDataException>(() => Checkpoint.Load(_path, "w")).Message);
        using (var zip = ZipFile.Open(_path + ".zip", ZipArchiveMode.Create))
            zip.CreateEntry("readme.txt", CompressionLevel.NoCompression);
        File.Move(_path + ".zip", _path, overwrite: true);
        Assert.Contains("0 entries 'data.pkl'", Assert.Throws<NotSupportedException>(() => Checkpoint.Load(_path)).Message);
    }

    [Fact]
    public void Files_that_are_cut_off_are_refused_wherever_the_cut_is()
    {
        var bytes = Valid().ToBytes();
        for (var length = 4; length < bytes.Length; length++)
        {
            File.WriteAllBytes(_path, bytes[..length]);
            Assert.Throws<InvalidDataException>(() => Checkpoint.Load(_path));
        }
    }

    [Fact]
    public void Files_with_any_byte_changed_are_read_or_refused_and_nothing_else()
    {
        var bytes = Valid().ToBytes();
        var random = new Random(7);
        for (var i = 0; i < 1000; i++)
        {
            var changed = bytes.ToArray();
            for (var changes = 1 + random.Next(3); changes > 0; changes--)
                changed[random.Next(4, changed.Length)] = (byte)random.Next(256);
            File.WriteAllBytes(_path, changed);
            try
            {
                Checkpoint.Load(_path);
            }
            catch (Exception error) when (error is InvalidDataException or NotSupportedException)
            {
            }
        }
    }

    private static TorchFile Valid() => Weight(new TorchFile().Pickle(Start + "}"), 4, 0, [4], [1]).Pickle("s.");

    // The key 'weight' and its value, with four elements in the storage.
    private static TorchFile Weight(TorchFile file, long count, long offset, long[] sizes, long[] strides) => file
        .Text("weight").Tensor("FloatStorage", "0", count, offset, sizes, strides)
        .Entry("data/0", [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40]);

    private void Write(TorchFile file) => File.WriteAllBytes(_path, file.ToBytes());

    private string Refused(TorchFile file)
    {
        Write(file);
        var message = Assert.Throws<InvalidDataException>(() => Checkpoint.Load(_path)).Message;
        Assert.Contains(_path, message);
        return message;
    }
}
