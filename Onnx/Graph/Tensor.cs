using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx;

/// <summary>A tensor in host memory: element type, sizes and row-major little-endian bytes. Not mutable through this type.</summary>
public sealed class Tensor
{
    private readonly ReadOnlyMemory<byte> _data;

    /// <summary>Wraps bytes that the caller no longer changes.</summary>
    /// <param name="type">The element type; strings are not supported.</param>
    /// <param name="dims">The sizes.</param>
    /// <param name="data">The elements, row-major.</param>
    /// <exception cref="ArgumentException">The number of bytes does not fit the sizes.</exception>
    public Tensor(TensorElementType type, ReadOnlySpan<long> dims, ReadOnlyMemory<byte> data)
        : this(type, dims, data, data.Length)
    {
    }

    /// <summary>A tensor that stays in its file.</summary>
    internal Tensor(TensorElementType type, ReadOnlySpan<long> dims, ExternalData external)
        : this(type, dims, ReadOnlyMemory<byte>.Empty, external.Length) => External = external;

    private Tensor(TensorElementType type, ReadOnlySpan<long> dims, ReadOnlyMemory<byte> data, long byteCount)
    {
        (Type, Dims, _data, ByteCount) = (type, dims.ToArray(), data, byteCount);
        if (byteCount != ElementCount * SizeOf(type))
        {
            throw new ArgumentException(
                $"A {type} tensor of shape {Shape.Of(dims)} holds {ElementCount * SizeOf(type)} bytes, but {byteCount} were given.");
        }
    }

    /// <summary>The element type.</summary>
    public TensorElementType Type { get; }

    /// <summary>The sizes; empty for a scalar.</summary>
    public IReadOnlyList<long> Dims { get; }

    /// <summary>
    /// The elements, row-major, little-endian. A weight that <see cref="OnnxModel.Load(string, bool)"/> left in its file is read anew at
    /// each call.
    /// </summary>
    /// <exception cref="InvalidDataException">The weight's file is not there any more, or too short.</exception>
    public ReadOnlyMemory<byte> Data => External?.Read() ?? _data;

    /// <summary>Where the elements lie, if not in memory.</summary>
    internal ExternalData? External { get; }

    /// <summary>The number of bytes of the elements.</summary>
    internal long ByteCount { get; }

    /// <summary>The sizes as a shape.</summary>
    public Shape Shape => Shape.Of([.. Dims]);

    /// <summary>The number of elements.</summary>
    public long ElementCount => Dims.Aggregate(1L, (product, dim) => product * dim);

    /// <summary>A tensor of the given elements.</summary>
    public static Tensor Create<T>(ReadOnlySpan<T> elements, params ReadOnlySpan<long> dims)
        where T : unmanaged => new(TypeOf<T>(), dims, MemoryMarshal.AsBytes(elements).ToArray());

    /// <summary>A scalar.</summary>
    public static Tensor Scalar<T>(T value)
        where T : unmanaged => Create<T>([value]);

    /// <summary>A one-dimensional int64 tensor, the form in which ONNX operators take sizes and axes.</summary>
    public static Tensor Int64(params ReadOnlySpan<long> values) => Create(values, values.Length);

    /// <summary>The elements.</summary>
    /// <exception cref="InvalidOperationException"><typeparamref name="T"/> is not the element type.</exception>
    public ReadOnlySpan<T> AsSpan<T>()
        where T : unmanaged
    {
        if (TypeOf<T>() != Type)
            throw new InvalidOperationException($"The tensor holds {Type}, not {TypeOf<T>()}.");
        return MemoryMarshal.Cast<byte, T>(Data.Span);
    }

    /// <summary>The integers of an int64 or int32 tensor.</summary>
    /// <exception cref="InvalidOperationException">The tensor is of another type.</exception>
    public long[] ToInt64() => Type switch
    {
        TensorElementType.Int64 => AsSpan<long>().ToArray(),
        TensorElementType.Int32 => Array.ConvertAll(AsSpan<int>().ToArray(), value => (long)value),
        _ => throw new InvalidOperationException($"The tensor holds {Type}, not integers."),
    };

    /// <summary>The same elements under other sizes.</summary>
    public Tensor Reshape(params ReadOnlySpan<long> dims) => new(Type, dims, Data);

    /// <summary>A float tensor with its axes reordered, as ONNX's Transpose does.</summary>
    /// <param name="permutation">For each axis of the result the axis it is taken from.</param>
    public Tensor Transpose(params ReadOnlySpan<int> permutation)
    {
        var source = AsSpan<float>();
        var rank = Dims.Count;
        var dims = new long[rank];
        var strides = new long[rank];
        for (var axis = 0; axis < rank; axis++)
        {
            dims[axis] = Dims[permutation[axis]];
            strides[axis] = 1;
            for (var inner = permutation[axis] + 1; inner < rank; inner++)
                strides[axis] *= Dims[inner];
        }
        var result = new float[source.Length];
        var index = new long[rank];
        long offset = 0;
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = source[(int)offset];
            for (var axis = rank - 1; axis >= 0; axis--)
            {
                offset += strides[axis];
                if (++index[axis] < dims[axis])
                    break;
                offset -= strides[axis] * dims[axis];
                index[axis] = 0;
            }
        }
        return Create<float>(result, dims);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Type} {Shape}";

    internal static int SizeOf(TensorElementType type) => type switch
    {
        TensorElementType.Bool or TensorElementType.Int8 or TensorElementType.UInt8 => 1,
        TensorElementType.Float16 or TensorElementType.BFloat16 or TensorElementType.Int16 or TensorElementType.UInt16 => 2,
        TensorElementType.Float or TensorElementType.Int32 or TensorElementType.UInt32 => 4,
        TensorElementType.Double or TensorElementType.Int64 or TensorElementType.UInt64 => 8,
        _ => throw new NotSupportedException($"Tensors of type {type} are not supported."),
    };

    internal static TensorElementType TypeOf<T>()
        where T : unmanaged
        => default(T) switch
        {
            float => TensorElementType.Float,
            double => TensorElementType.Double,
            long => TensorElementType.Int64,
            int => TensorElementType.Int32,
            short => TensorElementType.Int16,
            sbyte => TensorElementType.Int8,
            byte => TensorElementType.UInt8,
            ushort => TensorElementType.UInt16,
            uint => TensorElementType.UInt32,
            ulong => TensorElementType.UInt64,
            bool => TensorElementType.Bool,
            Float16 or Half => TensorElementType.Float16,
            BFloat16 => TensorElementType.BFloat16,
            _ => throw new NotSupportedException($"Tensors of {typeof(T).Name} are not supported."),
        };
}
