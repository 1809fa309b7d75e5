using System.Buffers.Binary;
using System.IO.Compression;

namespace Samples.Data;

/// <summary>Reads the format of MNIST: gzip, a magic number with type and rank, the sizes, then bytes.</summary>
internal static class IdxFile
{
    private const int UnsignedByte = 8;

    /// <summary>The sizes and the bytes of a file.</summary>
    /// <exception cref="InvalidDataException">The file is not of that format, or ends early.</exception>
    public static (int[] Dims, byte[] Values) Read(string path)
    {
        using var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        try
        {
            Span<byte> number = stackalloc byte[4];
            file.ReadExactly(number);
            if (number[0] != 0 || number[1] != 0 || number[2] != UnsignedByte)
                throw new InvalidDataException($"'{path}' is not an IDX file of bytes.");
            var dims = new int[number[3]];
            foreach (ref var dim in dims.AsSpan())
            {
                file.ReadExactly(number);
                dim = BinaryPrimitives.ReadInt32BigEndian(number);
            }
            var values = new byte[dims.Aggregate(1, (product, dim) => checked(product * dim))];
            file.ReadExactly(values);
            return (dims, values);
        }
        catch (EndOfStreamException error)
        {
            throw new InvalidDataException($"'{path}' ends before its data does.", error);
        }
    }
}
