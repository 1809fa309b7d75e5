using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention;

/// <summary>An output of the model as it is: a scalar where a row has no dimensions, a vector otherwise.</summary>
internal abstract class TensorColumn(string name, TensorDescription output) : OutputColumn(name, output.Name)
{
    protected TensorDescription Output => output;

    public static TensorColumn Create(string name, TensorDescription output)
    {
        if (output.Dimensions.Length == 0)
        {
            throw new NotSupportedException($"Output '{output.Name}' is a scalar for a whole batch, not a value for each row: "
                + "it cannot be a column.");
        }
        if (output.ElementType == TensorElementType.Float16)
            return new HalfTensorColumn(name, output);
        var rawType = TensorTypes.ItemType(output.Name, output.ElementType).RawType;
        return (TensorColumn)Activator.CreateInstance(typeof(TensorColumn<>).MakeGenericType(rawType), name, output)!;
    }

    public override DataViewType Type
    {
        get
        {
            var itemType = TensorTypes.ItemType(output.Name, output.ElementType);
            var shape = output.RowShape;
            if (shape.Length == 0)
                return itemType;
            if (shape.Contains(-1))
                return new VectorDataViewType(itemType);
            return new VectorDataViewType(itemType, Array.ConvertAll(shape.ToArray(), d => checked((int)d)));
        }
    }

    /// <summary>The elements of a failed row; none where only the run tells how many there would be.</summary>
    protected int MissingLength
    {
        get
        {
            long length = 1;
            foreach (long d in Output.RowShape)
                length *= Math.Max(d, 0);
            return (int)length;
        }
    }
}

/// <inheritdoc/>
internal sealed class TensorColumn<T>(string name, TensorDescription output) : TensorColumn(name, output)
    where T : unmanaged
{
    private static readonly T Missing = default(T) switch
    {
        float => (T)(object)float.NaN,
        double => (T)(object)double.NaN,
        _ => default,
    };

    public override Delegate CreateGetter(ScoredRow row)
    {
        int output = row.OutputIndex(Output.Name);
        if (Output.RowShape.IsEmpty)
            return (ValueGetter<T>)((ref T value) => value = row.Failure is null ? row.Tensor<T>(output)[0] : Missing);
        return (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
        {
            if (row.Failure is not null)
            {
                var missing = VBufferEditor.Create(ref value, MissingLength);
                missing.Values.Fill(Missing);
                value = missing.Commit();
                return;
            }
            var elements = row.Tensor<T>(output);
            var editor = VBufferEditor.Create(ref value, elements.Length);
            elements.CopyTo(editor.Values);
            value = editor.Commit();
        });
    }
}

/// <summary>An output in half precision, shown in single precision.</summary>
internal sealed class HalfTensorColumn(string name, TensorDescription output) : TensorColumn(name, output)
{
    public override Delegate CreateGetter(ScoredRow row)
    {
        int output = row.OutputIndex(Output.Name);
        if (Output.RowShape.IsEmpty)
            return (ValueGetter<float>)((ref float value) => value = row.Failure is null ? (float)row.Tensor<Half>(output)[0] : float.NaN);
        return (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) =>
        {
            var elements = row.Failure is null ? row.Tensor<Half>(output) : default;
            var editor = VBufferEditor.Create(ref value, row.Failure is null ? elements.Length : MissingLength);
            if (row.Failure is null)
                System.Numerics.Tensors.TensorPrimitives.ConvertToSingle(elements, editor.Values);
            else
                editor.Values.Fill(float.NaN);
            value = editor.Commit();
        });
    }
}
