namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>How an attention gets its query, key, value and bias.</summary>
internal enum AttentionForm
{
    /// <summary>As inputs of their own, then the bias.</summary>
    Separate,

    /// <summary>As one input [N, L, query | key | value], then the bias.</summary>
    Packed,

    /// <summary>As inputs of their own, then the biases of the columns and rows of a map, and its extent.</summary>
    BoxRelative,
}

/// <summary>The attributes and inputs that multi-head attention and its gradient have.</summary>
/// <param name="attributes">Those of the node.</param>
/// <param name="form">How the inputs come.</param>
internal sealed unsafe class AttentionArguments(KernelAttributes attributes, AttentionForm form)
{
    private readonly int _heads = attributes.PositiveInt("num_heads");

    // Box-relative attention has the usual one only.
    private readonly float? _scale = form == AttentionForm.BoxRelative ? null : attributes.Float("scale");

    private bool IsPacked => form == AttentionForm.Packed;

    /// <summary>The position of the bias among the inputs, counted from the query.</summary>
    public int BiasIndex => IsPacked ? 1 : 3;

    /// <summary>The number of inputs from the query to the bias.</summary>
    public int Count => BiasIndex + (form == AttentionForm.BoxRelative ? 3 : 1);

    /// <summary>Reads the inputs, of which the query is number <paramref name="first"/>.</summary>
    public AttentionInputs<T> Read<T>(KernelContext context, int first) where T : unmanaged
    {
        var inputs = IsPacked ? Packed<T>(context.Input(first)) : Separate<T>(context, first);
        if (inputs.QueryChannels % _heads != 0 || inputs.ValueChannels % _heads != 0)
        {
            throw new KernelException(
                $"query has {inputs.QueryChannels} and value {inputs.ValueChannels} channels, expected multiples of num_heads = {_heads}");
        }
        (inputs.Heads, inputs.Scale) = (_heads, _scale ?? 1 / MathF.Sqrt(inputs.QueryChannels / _heads));
        if (form == AttentionForm.BoxRelative)
        {
            inputs.BoxBias = BoxBias.Read(context, first + BiasIndex, inputs.Batch, inputs.Queries, inputs.Keys, _heads);
            return inputs;
        }
        var bias = context.Input(first + BiasIndex);
        inputs.Bias = bias.Data<T>();
        inputs.BiasLayout = new BiasLayout(bias, inputs.Batch, _heads, inputs.Queries, inputs.Keys);
        return inputs;
    }

    /// <summary>Allocates the gradients of query, key and value.</summary>
    public (AttentionRows<T> Query, AttentionRows<T> Key, AttentionRows<T> Value) Gradients<T>(
        KernelContext context, in AttentionInputs<T> inputs)
        where T : unmanaged
    {
        if (!IsPacked)
        {
            return (
                new(context.Output<T>(0, inputs.Batch, inputs.Queries, inputs.QueryChannels), inputs.QueryChannels),
                new(context.Output<T>(1, inputs.Batch, inputs.Keys, inputs.QueryChannels), inputs.QueryChannels),
                new(context.Output<T>(2, inputs.Batch, inputs.Keys, inputs.ValueChannels), inputs.ValueChannels));
        }
        var row = 3 * inputs.QueryChannels;
        var data = context.Output<T>(0, inputs.Batch, inputs.Queries, row);
        return (new(data, row), new(data + inputs.QueryChannels, row), new(data + (2 * inputs.QueryChannels), row));
    }

    /// <summary>Allocates the gradient of the bias; null where nobody asks for it.</summary>
    public T* BiasGradient<T>(KernelContext context, int first) where T : unmanaged => form == AttentionForm.BoxRelative
        ? null
        : context.Output<T>(IsPacked ? 1 : 3, context.Input(first + BiasIndex).Shape.Dims);

    /// <summary>Allocates the gradients of the biases of columns and rows; none where the bias is of another kind.</summary>
    public BoxBias BoxBiasGradient(KernelContext context, int first) => form != AttentionForm.BoxRelative
        ? default
        : new()
        {
            Columns = context.Output<float>(3, context.Input(first + BiasIndex).Shape.Dims),
            Rows = context.Output<float>(4, context.Input(first + BiasIndex + 1).Shape.Dims),
        };

    private static AttentionInputs<T> Packed<T>(KernelInput packed) where T : unmanaged
    {
        var shape = packed.Expect("[N, L, 3 * C]", -1, -1, -1).Shape;
        var channels = shape[2] / 3;
        if (channels * 3 != shape[2])
            throw new KernelException($"input '{packed.Name}' has {shape[2]} channels, expected three times as many as the output");
        var data = packed.Data<T>();
        return new()
        {
            Batch = shape[0], Queries = shape[1], Keys = shape[1], QueryChannels = channels, ValueChannels = channels,
            Query = new(data, shape[2]), Key = new(data + channels, shape[2]), Value = new(data + (2 * channels), shape[2]),
        };
    }

    private static AttentionInputs<T> Separate<T>(KernelContext context, int first) where T : unmanaged
    {
        var query = context.Input(first).Expect("[N, L, C]", -1, -1, -1);
        var key = context.Input(first + 1).Expect("[N, S, C]", query.Shape.Dims[0], -1, query.Shape.Dims[2]);
        var value = context.Input(first + 2).Expect("[N, S, E]", query.Shape.Dims[0], key.Shape.Dims[1], -1);
        return new()
        {
            Batch = query.Shape[0], Queries = query.Shape[1], Keys = key.Shape[1],
            QueryChannels = query.Shape[2], ValueChannels = value.Shape[2],
            Query = new(query.Data<T>(), query.Shape[2]),
            Key = new(key.Data<T>(), key.Shape[2]),
            Value = new(value.Data<T>(), value.Shape[2]),
        };
    }
}

/// <summary>The rows of all positions of a batch: their channels, and what lies between them.</summary>
/// <param name="Data">The first channel of the first position.</param>
/// <param name="Stride">Elements from one position to the next.</param>
internal readonly unsafe record struct AttentionRows<T>(nint Data, int Stride) where T : unmanaged
{
    public AttentionRows(T* data, int stride)
        : this((nint)data, stride)
    {
    }

    public T* At(long position) => (T*)Data + (position * Stride);
}

/// <summary>The inputs of one call of multi-head attention or its gradient.</summary>
internal unsafe struct AttentionInputs<T> where T : unmanaged
{
    public int Batch;
    public int Heads;
    public int Queries;
    public int Keys;

    /// <summary>Channels of query and key, all heads.</summary>
    public int QueryChannels;

    /// <summary>Channels of value and output, all heads.</summary>
    public int ValueChannels;

    /// <summary>What the products of queries and keys are multiplied by.</summary>
    public float Scale;

    public AttentionRows<T> Query;
    public AttentionRows<T> Key;
    public AttentionRows<T> Value;
    public T* Bias;
    public BiasLayout BiasLayout;
    public BoxBias BoxBias;

    public readonly int QueryWidth => QueryChannels / Heads;

    public readonly int ValueWidth => ValueChannels / Heads;
}

/// <summary>A bias of the positions of a map: the sum of one for the column and one for the row.</summary>
internal unsafe struct BoxBias
{
    /// <summary>[N, L, W, heads]; null where the bias is of another kind.</summary>
    public float* Columns;

    /// <summary>[N, L, H, heads]</summary>
    public float* Rows;

    /// <summary>[N, 2], rows and columns beyond which positions are penalised.</summary>
    public long* Extent;

    public int ColumnCount;
    public int RowCount;

    public readonly bool IsPresent => Columns != null;

    public static BoxBias Read(KernelContext context, int first, int batch, int queries, int keys, int heads)
    {
        var columns = context.Input(first).Expect("[N, Q, W, num_heads]", batch, queries, -1, heads);
        var rows = context.Input(first + 1).Expect("[N, Q, H, num_heads]", batch, queries, -1, heads);
        if ((long)columns.Shape[2] * rows.Shape[2] != keys)
        {
            throw new KernelException(
                $"there are {keys} keys, but biases of {rows.Shape[2]} rows and {columns.Shape[2]} columns");
        }
        const int MostColumns = 16384;
        if (columns.Shape[2] > MostColumns)
            throw new KernelException($"the map has {columns.Shape[2]} columns, the kernels take no more than {MostColumns}");
        return new()
        {
            Columns = columns.Data<float>(),
            Rows = rows.Data<float>(),
            Extent = context.Input(first + 2).Expect("[N, 2]", batch, 2).Data<long>(),
            ColumnCount = columns.Shape[2],
            RowCount = rows.Shape[2],
        };
    }
}

/// <summary>How a bias broadcasts to [N, heads, L, S]: its sizes, 1 where it repeats, and its strides, 0 there.</summary>
internal readonly struct BiasLayout
{
    public readonly int BatchSize;
    public readonly int HeadSize;
    public readonly int QuerySize;
    public readonly int KeySize;
    public readonly long Batch;
    public readonly long Head;
    public readonly long Query;
    public readonly long Key;

    public BiasLayout(KernelInput bias, int batch, int heads, int queries, int keys)
    {
        ReadOnlySpan<int> scores = [batch, heads, queries, keys];
        var dims = bias.Shape.Dims;
        Span<int> sizes = [1, 1, 1, 1];
        for (var axis = 0; axis < dims.Length; axis++)
        {
            var target = axis + 4 - dims.Length;
            if (target < 0 ? dims[axis] != 1 : dims[axis] != 1 && dims[axis] != scores[target])
            {
                throw new KernelException(
                    $"input '{bias.Name}' has shape {bias.Shape}, which does not broadcast to [{batch}, {heads}, {queries}, {keys}]");
            }
            if (target >= 0)
                sizes[target] = (int)dims[axis];
        }
        (BatchSize, HeadSize, QuerySize, KeySize) = (sizes[0], sizes[1], sizes[2], sizes[3]);
        Key = KeySize == 1 ? 0 : 1;
        Query = QuerySize == 1 ? 0 : KeySize;
        Head = HeadSize == 1 ? 0 : (long)QuerySize * KeySize;
        Batch = BatchSize == 1 ? 0 : (long)HeadSize * QuerySize * KeySize;
    }

    /// <summary>Whether all scores get the same.</summary>
    public bool IsScalar => (Batch | Head | Query | Key) == 0;

    public long At(int batch, int head, int query) => (batch * Batch) + (head * Head) + (query * Query);
}
