using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>A model input that takes a column of numbers as it is: a scalar or a vector, row-major.</summary>
internal sealed class ColumnInput : TensorInput
{
    private readonly DataViewSchema.Column _column;

    private ColumnInput(TensorDescription input, long[] rowShape, DataViewSchema.Column column)
        : base(input.Name, input.ElementType, rowShape, column.Index) => _column = column;

    /// <summary>Binds a column to an input of the model.</summary>
    /// <exception cref="InvalidOperationException">The column's type or size does not fit.</exception>
    public static ColumnInput Create(TensorDescription input, DataViewSchema schema, string columnName)
    {
        var column = schema.GetColumnOrNull(columnName)
            ?? throw new InvalidOperationException($"Input '{input.Name}' of the model reads column '{columnName}', "
                + $"which the data does not have; it has {string.Join(", ", schema.Select(c => $"'{c.Name}'"))}.");
        var expected = TensorTypes.ItemType(input.Name, input.ElementType);
        if (column.Type.GetItemType().RawType != expected.RawType)
        {
            throw new InvalidOperationException($"Column '{columnName}' is of type {column.Type}, and input '{input.Name}' of the model "
                + $"takes {expected}: convert it with mlContext.Transforms.Conversion.ConvertType.");
        }
        if (input.Dimensions.Length == 0)
            throw new NotSupportedException($"Input '{input.Name}' of the model is a scalar for a whole batch: no column can feed it.");
        return new(input, RowShapeOf(input, column), column);
    }

    public override TensorRowReader CreateReader(DataViewRow source, int capacity)
    {
        if (ElementType == TensorElementType.Float16)
            return _column.Type is VectorDataViewType ? new HalfVectorReader(source, _column, RowLength) : new HalfReader(source, _column);
        var type = _column.Type is VectorDataViewType ? typeof(VectorReader<>) : typeof(ScalarReader<>);
        object[] arguments = _column.Type is VectorDataViewType ? [source, _column, RowLength] : [source, _column];
        return (TensorRowReader)Activator.CreateInstance(type.MakeGenericType(_column.Type.GetItemType().RawType), arguments)!;
    }

    private int RowLength => (int)RowShape.Aggregate(1L, (product, d) => product * d);

    /// <summary>The declared shape with one open dimension, if any, filled in from the column's size.</summary>
    private static long[] RowShapeOf(TensorDescription input, DataViewSchema.Column column)
    {
        long[] shape = input.RowShape.ToArray();
        int columnSize = column.Type is VectorDataViewType vector ? vector.Size : 1;
        int open = shape.Count(d => d < 0);
        if (open > 0 && column.Type is VectorDataViewType { IsKnownSize: true } known && known.Dimensions.Length == shape.Length)
        {
            // The column tells the whole shape, as images of [C, H, W] do.
            for (int i = 0; i < shape.Length; i++)
                shape[i] = shape[i] < 0 ? known.Dimensions[i] : shape[i];
        }
        else if (open == 1 && columnSize > 0)
        {
            long rest = shape.Where(d => d >= 0).Aggregate(1L, (product, d) => product * d);
            shape[Array.FindIndex(shape, d => d < 0)] = rest > 0 ? columnSize / rest : 0;
        }
        long length = shape.Aggregate(1L, (product, d) => product * d);
        if (shape.Any(d => d < 0))
        {
            throw new InvalidOperationException($"Input '{input.Name}' of the model has shape {input.ShapeText}, and column "
                + $"'{column.Name}' of type {column.Type} does not tell the open dimensions: make it a vector of known size.");
        }
        if (columnSize != 0 && length != columnSize)
        {
            throw new InvalidOperationException($"Column '{column.Name}' has {columnSize} values a row, and input '{input.Name}' of shape "
                + $"{input.ShapeText} takes {length}: the first dimension counts rows, the others are one row.");
        }
        return shape;
    }

    private static InvalidDataException WrongLength(DataViewSchema.Column column, int length, int expected) =>
        new($"column '{column.Name}' has {length} values, the model takes {expected}");

    private sealed class ScalarReader<T>(DataViewRow source, DataViewSchema.Column column) : TensorRowReader
        where T : unmanaged
    {
        private readonly ValueGetter<T> _getter = source.GetGetter<T>(column);

        public override void Read(int slot, Span<byte> destination) => _getter(ref MemoryMarshal.AsRef<T>(destination));
    }

    private sealed class VectorReader<T>(DataViewRow source, DataViewSchema.Column column, int length) : TensorRowReader
        where T : unmanaged
    {
        private readonly ValueGetter<VBuffer<T>> _getter = source.GetGetter<VBuffer<T>>(column);
        private VBuffer<T> _value;

        public override void Read(int slot, Span<byte> destination)
        {
            _getter(ref _value);
            if (_value.Length != length)
                throw WrongLength(column, _value.Length, length);
            _value.CopyTo(MemoryMarshal.Cast<byte, T>(destination));
        }
    }

    private sealed class HalfReader(DataViewRow source, DataViewSchema.Column column) : TensorRowReader
    {
        private readonly ValueGetter<float> _getter = source.GetGetter<float>(column);

        public override void Read(int slot, Span<byte> destination)
        {
            float value = 0;
            _getter(ref value);
            MemoryMarshal.AsRef<Half>(destination) = (Half)value;
        }
    }

    private sealed class HalfVectorReader(DataViewRow source, DataViewSchema.Column column, int length) : TensorRowReader
    {
        private readonly ValueGetter<VBuffer<float>> _getter = source.GetGetter<VBuffer<float>>(column);
        private readonly float[] _dense = new float[length];
        private VBuffer<float> _value;

        public override void Read(int slot, Span<byte> destination)
        {
            _getter(ref _value);
            if (_value.Length != length)
                throw WrongLength(column, _value.Length, length);
            _value.CopyTo(_dense);
            System.Numerics.Tensors.TensorPrimitives.ConvertToHalf(_dense, MemoryMarshal.Cast<byte, Half>(destination));
        }
    }
}
