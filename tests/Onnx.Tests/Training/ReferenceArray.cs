using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Tests.Training;

/// <summary>Numbers in double precision whatever the element type, and a shape.</summary>
internal sealed record ReferenceArray(double[] Data, int[] Dims, TensorElementType Type = TensorElementType.Double)
{
    public int Rank => Dims.Length;

    public bool IsInteger => Type is TensorElementType.Int64 or TensorElementType.Int32;

    public static ReferenceArray Of(Tensor tensor) => new(
        tensor.Type switch
        {
            TensorElementType.Float => Array.ConvertAll(tensor.AsSpan<float>().ToArray(), x => (double)x),
            TensorElementType.Double => tensor.AsSpan<double>().ToArray(),
            TensorElementType.Bool => Array.ConvertAll(tensor.AsSpan<bool>().ToArray(), x => x ? 1.0 : 0),
            _ => Array.ConvertAll(tensor.ToInt64(), x => (double)x),
        },
        [.. tensor.Dims.Select(dim => (int)dim)], tensor.Type);

    public static ReferenceArray Zeros(int[] dims) => new(new double[Count(dims)], dims);

    public static int Count(IEnumerable<int> dims) => dims.Aggregate(1, (product, dim) => product * dim);

    public int[] Strides()
    {
        var strides = new int[Rank];
        for (int axis = Rank - 1, stride = 1; axis >= 0; stride *= Dims[axis--])
            strides[axis] = stride;
        return strides;
    }

    /// <summary>All index vectors of a shape in row-major order; the array is reused.</summary>
    public static IEnumerable<int[]> Indices(int[] dims)
    {
        var index = new int[dims.Length];
        for (var count = Count(dims); count > 0; count--)
        {
            yield return index;
            for (var axis = dims.Length - 1; axis >= 0 && ++index[axis] == dims[axis]; axis--)
                index[axis] = 0;
        }
    }

    public int Offset(int[] index)
    {
        var offset = 0;
        for (var axis = 0; axis < Rank; axis++)
            offset = (offset * Dims[axis]) + index[axis];
        return offset;
    }

    public double this[params int[] index]
    {
        get => Data[Offset(index)];
        set => Data[Offset(index)] = value;
    }

    public ReferenceArray Reshape(params int[] dims) => this with { Dims = dims };

    /// <summary>A new array whose elements are computed from their index.</summary>
    public static ReferenceArray Build(int[] dims, TensorElementType type, Func<int[], double> element)
    {
        var data = new double[Count(dims)];
        var i = 0;
        foreach (var index in Indices(dims))
            data[i++] = element(index);
        return new(data, dims, type);
    }

    public ReferenceArray Transpose(params int[] permutation)
    {
        var source = new int[Rank];
        return Build([.. permutation.Select(axis => Dims[axis])], Type, index =>
        {
            for (var i = 0; i < source.Length; i++)
                source[permutation[i]] = index[i];
            return this[source];
        });
    }

    /// <summary>The element at an index of a shape that this one broadcasts to.</summary>
    public double Broadcast(int[] index)
    {
        var offset = 0;
        for (var axis = 0; axis < Rank; axis++)
            offset = (offset * Dims[axis]) + (Dims[axis] == 1 ? 0 : index[axis + index.Length - Rank]);
        return Data[offset];
    }
}
