using System.Buffers.Binary;
using System.Text;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Weights;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void What_is_written_is_read_back()
    {
        var tensors = new Dictionary<string, Tensor>
        {
            ["head.weight"] = Tensor.Create<float>([1, -2, 3, 4.5f, 5, 6], 2, 3),
            ["scalar"] = Tensor.Scalar(7.25),
            ["empty"] = Tensor.Create<long>([], 0, 4),
            ["flags"] = Tensor.Create<bool>([true, false, true], 3),
            ["half"] = Tensor.Create<Half>([(Half)0.5f], 1),
            ["größe \"x\""] = Tensor.Create<sbyte>([-1, 2], 2),
            ["counts"] = Tensor.Create<ushort>([1, 65535], 2, 1),
        };
        SafetensorsFile.Write(_path, tensors, new Dictionary<string, string> { ["format"] = "pt" });

        using var file = SafetensorsFile.Open(_path);
        Assert.Equal("pt", file.Metadata["format"]);
        var read = file.ReadAll();
        Assert.Equal(tensors.Keys.Order(), read.Keys.Order());
        foreach (var (name, tensor) in tensors)
        {
            Assert.Equal(tensor.Type, read[name].Type);
            Assert.Equal(tensor.Dims, read[name].Dims);
            Assert.Equal(tensor.Data.ToArray(), read[name].Data.ToArray());
        }
    }

    [Fact]
    public void Elements_are_aligned_to_their_size()
    {
        SafetensorsFile.Write(_path, new Dictionary<string, Tensor>
        {
            ["a"] = Tensor.Create<byte>([1, 2, 3], 3), ["b"] = Tensor.Scalar(1f), ["c"] = Tensor.Scalar(2.0),
        });
        var bytes = File.ReadAllBytes(_path);
        var start = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Assert.Equal(0, start % 8);
        Assert.Equal(2.0, BitConverter.ToDouble(bytes, start));
        Assert.Equal(1f, BitConverter.ToSingle(bytes, start + 8));
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""",
        4, "describes 8 bytes of tensors, but 4 follow")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""",
        12, "describes 8 bytes of tensors, but 12 follow")]
    [InlineData("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""",
        8, "tensor 'a' of type F32 and shape [3] cannot take the 8 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "shape [-2] cannot take")]
    [InlineData("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}""",
        0, "cannot take the 0 bytes")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "impossible data_offsets")]
    [InlineData("""{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}""", 8, "tensor 'a' is of type 'Q4'")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2]}}""", 8, "lacks its dtype, shape or data_offsets")]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""",
        12, "'b' overlaps")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""",
        8, "nothing describes the 4 bytes before tensor 'a'")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""",
        2, "'a' is listed twice")]
    [InlineData("""{"a":{"dtype":"F32","shape":"x","data_offsets":[0,8]}}""", 8, "not the JSON object")]
    [InlineData("""[1, 2]""", 0, "not the JSON object")]
    [InlineData("""{"a":""", 0, "not the JSON object")]
    public void Files_that_contradict_themselves_are_refused(string header, int dataLength, string reason)
    {
        var bytes = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, header.Length);
        Encoding.UTF8.GetBytes(header, bytes.AsSpan(8));
        File.WriteAllBytes(_path, bytes);

        var error = Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(_path));
        Assert.Contains(reason, error.Message);
        Assert.Contains(_path, error.Message);
    }

    [Theory]
    [InlineData(new byte[] { 1, 2, 3 })]
    [InlineData(new byte[] { 255, 255, 255, 255, 255, 255, 255, 255, 123, 125 })]
    [InlineData(new byte[] { 100, 0, 0, 0, 0, 0, 0, 0, 123, 125 })]
    [InlineData(new byte[] { 0, 0, 0, 0, 0, 0, 0, 0 })]
    public void Files_without_room_for_their_header_are_refused(byte[] bytes)
    {
        File.WriteAllBytes(_path, bytes);
        Assert.Throws<InvalidDataException>(() => SafetensorsFile.Open(_path));
    }

    [Fact]
    public void A_missing_tensor_is_named()
    {
        SafetensorsFile.Write(_path, new Dictionary<string, Tensor> { ["a"] = Tensor.Scalar(1f) });
        using var file = SafetensorsFile.Open(_path);
        Assert.Contains("'b'", Assert.Throws<KeyNotFoundException>(() => file.Read("b")).Message);
    }
}
