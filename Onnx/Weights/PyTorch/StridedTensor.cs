using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Weights.PyTorch;

/// <summary>Elements in an entry of the file, which several tensors may share.</summary>
/// <param name="Entry">Where they lie.</param>
/// <param name="Type">Their type, or null where the tensors tell it.</param>
internal sealed record Storage(StoredZip.Entry Entry, TensorElementType? Type);

/// <summary>A tensor as PyTorch stores it: a view of a storage, with an offset and a stride for each axis, counted in elements.</summary>
internal sealed class StridedTensor
{
    private const int LargestRank = 64;

    private readonly Storage _storage;
    private readonly long _offset;
    private readonly long[] _sizes;
    private readonly long[] _strides;

    private StridedTensor(Storage storage, TensorElementType type, long offset, long[] sizes, long[] strides)
    {
        (_storage, Type, _offset, _sizes, _strides) = (storage, type, offset, sizes, strides);
        if (sizes.Length != strides.Length || sizes.Length > LargestRank || offset < 0
            || Array.Exists(sizes, size => size < 0) || Array.Exists(strides, stride => stride < 0))
        {
            throw Impossible("is not a tensor");
        }
        try
        {
            ByteCount = sizes.Aggregate((long)Tensor.SizeOf(type), (product, size) => checked(product * size));
            SpanLength = ByteCount == 0 ? 0 : 1 + sizes.Zip(strides).Sum(axis => checked((axis.First - 1) * axis.Second));
            if (checked((offset + SpanLength) * Tensor.SizeOf(type)) > storage.Entry.Length)
                throw Impossible($"reaches beyond its storage of {storage.Entry.Length} bytes");
        }
        catch (OverflowException)
        {
            throw Impossible("is larger than any file");
        }
        if (ByteCount > Array.MaxLength || SpanLength * Tensor.SizeOf(type) > Array.MaxLength)
            throw Impossible($"has {ByteCount} bytes, more than fit into memory as one tensor");
    }

    public TensorElementType Type { get; }

    /// <summary>The size of the tensor in memory; more than that of its storage where axes are expanded.</summary>
    public long ByteCount { get; }

    // The number of elements from the first to the last.
    private long SpanLength { get; }

    private bool IsContiguous
    {
        get
        {
            long expected = 1;
            for (var axis = _sizes.Length - 1; axis >= 0; axis--)
            {
                if (_sizes[axis] != 1 && _strides[axis] != expected)
                    return false;
                expected *= _sizes[axis];
            }
            return true;
        }
    }

    /// <exception cref="InvalidDataException">The storage does not hold such a tensor.</exception>
    public static StridedTensor Create(Storage storage, TensorElementType type, long offset, object?[] sizes, object?[] strides)
    {
        if (!Array.TrueForAll(sizes, size => size is long) || !Array.TrueForAll(strides, stride => stride is long))
            throw new InvalidDataException("a tensor in it has sizes or strides that are not integers");
        return new(storage, type, offset, Array.ConvertAll(sizes, size => (long)size!), Array.ConvertAll(strides, stride => (long)stride!));
    }

    /// <summary>Reads the elements in row-major order.</summary>
    public Tensor Read(StoredZip file)
    {
        var elementSize = Tensor.SizeOf(Type);
        var span = new byte[SpanLength * elementSize];
        file.Read(_storage.Entry, _offset * elementSize, span);
        return new(Type, _sizes, ByteCount == 0 || IsContiguous ? span : Gather(span, elementSize));
    }

    private byte[] Gather(byte[] span, int elementSize)
    {
        var result = new byte[ByteCount];
        var index = new long[_sizes.Length];
        long source = 0;
        for (var position = 0; position < result.Length; position += elementSize)
        {
            span.AsSpan((int)source * elementSize, elementSize).CopyTo(result.AsSpan(position));
            for (var axis = index.Length - 1; axis >= 0; axis--)
            {
                source += _strides[axis];
                if (++index[axis] < _sizes[axis])
                    break;
                source -= _strides[axis] * _sizes[axis];
                index[axis] = 0;
            }
        }
        return result;
    }

    private InvalidDataException Impossible(string reason) => new(
        $"a view with offset {_offset}, sizes [{string.Join(", ", _sizes)}] and strides [{string.Join(", ", _strides)}] {reason}");
}
