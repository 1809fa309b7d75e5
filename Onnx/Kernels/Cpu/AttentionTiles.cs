using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>How the rows of a sequence are laid out for the products of multi-head attention.</summary>
internal readonly unsafe struct AttentionTiles
{
    /// <summary>Sequences with no more scores of a head are worked on with all heads at once.</summary>
    private const int FewScores = 1024;

    private const int ScoresTogether = 16384;

    private readonly int _vectorWidth;
    private readonly int _keys;

    public AttentionTiles(in AttentionInputs<float> inputs, int vectorWidth, bool headByHead = false)
    {
        (_vectorWidth, _keys) = (vectorWidth, inputs.Keys);
        Heads = !headByHead && (long)inputs.Queries * inputs.Keys <= FewScores ? inputs.Heads : 1;
        HeadGroups = inputs.Heads / Heads;
        QueryChannels = Heads * inputs.QueryWidth;
        ValueChannels = Heads * inputs.ValueWidth;
        Columns = PaddedWidth(Math.Max(1, inputs.Keys));
        Rows = Math.Min(PadRows(inputs.Queries), Math.Max(4, ScoresTogether / Columns / 4 * 4));
    }

    /// <summary>Heads that are worked on together.</summary>
    public int Heads { get; }

    public int HeadGroups { get; }

    /// <summary>Channels of query and key of these heads.</summary>
    public int QueryChannels { get; }

    /// <summary>Channels of value and output of these heads.</summary>
    public int ValueChannels { get; }

    /// <summary>Stride of rows of queries or keys, with room for the vector that begins at the last channel.</summary>
    public int QueryRow => PaddedWidth(QueryChannels + _vectorWidth);

    /// <summary>Stride of rows of values or outputs, with room for the vector that begins at the last channel.</summary>
    public int ValueRow => PaddedWidth(ValueChannels + _vectorWidth);

    /// <summary>Scores of a query, with those that fill the last vector.</summary>
    public int Columns { get; }

    /// <summary>Queries that are worked on together.</summary>
    public int Rows { get; }

    public int PaddedWidth(int width) => (width + _vectorWidth - 1) / _vectorWidth * _vectorWidth;

    /// <summary>Rows with those that a product computes beyond.</summary>
    public static int PadRows(int rows) => (rows + 3) / 4 * 4;

    /// <summary>The rows of all keys, transposed and multiplied: [channels, Columns], with zeros behind the keys.</summary>
    public void PackPanels(float* rows, int stride, int channels, float factor, float* panels)
    {
        ClearPadding(channels, panels);
        PackPanels(rows, stride, 0, _keys, channels, factor, panels);
    }

    /// <summary>The rows of some keys as the columns from <paramref name="first"/> on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void PackPanels(float* rows, int stride, int first, int count, int channels, float factor, float* panels)
    {
        for (var key = 0; key < count; key++)
        {
            var source = rows + ((long)key * stride);
            var target = panels + first + key;
            for (var channel = 0; channel < channels; channel++, target += Columns)
                *target = source[channel] * factor;
        }
    }

    /// <summary>Zeros behind the keys.</summary>
    public void ClearPadding(int channels, float* panels)
    {
        for (var channel = 0; channel < channels; channel++)
            new Span<float>(panels + ((long)channel * Columns) + _keys, Columns - _keys).Clear();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* source, int sourceStride, float* target, int targetStride, int rows, int channels)
    {
        for (var row = 0; row < rows; row++, source += sourceStride, target += targetStride)
            new ReadOnlySpan<float>(source, channels).CopyTo(new Span<float>(target, channels));
    }
}

/// <summary>The softmax of a row of scores.</summary>
internal static unsafe class AttentionSoftmax<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    /// <param name="scores">Become probabilities, and zeros behind the keys.</param>
    /// <param name="keys">The number of scores.</param>
    /// <param name="columns">Scores with those that fill the last vector.</param>
    /// <returns>The logarithm of the sum of their exponentials.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Apply(float* scores, int keys, int columns)
    {
        new Span<float>(scores + keys, columns - keys).Fill(float.NegativeInfinity);
        var max = TSimd.Load(scores);
        for (var column = TSimd.Width; column < columns; column += TSimd.Width)
            max = TSimd.Max(max, TSimd.Load(scores + column));
        var largest = TSimd.MaxElement(max);
        var offset = TSimd.Broadcast(largest);
        var total = default(TVector);
        for (var column = 0; column < columns; column += TSimd.Width)
        {
            var exponential = TSimd.Exp(TSimd.Subtract(TSimd.Load(scores + column), offset));
            TSimd.Store(exponential, scores + column);
            total = TSimd.Add(total, exponential);
        }
        var sum = TSimd.Sum(total);
        var factor = TSimd.Broadcast(1 / sum);
        for (var column = 0; column < columns; column += TSimd.Width)
            TSimd.Store(TSimd.Multiply(TSimd.Load(scores + column), factor), scores + column);
        return largest + MathF.Log(sum);
    }
}

/// <summary>Adds the bias to a row of scores.</summary>
internal static unsafe class AttentionBias<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const float Penalty = (float)Ops.BoxRelativeAttention.PaddingPenalty;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(in AttentionInputs<float> inputs, int batch, int head, int query, float* scores)
    {
        if (inputs.BoxBias.IsPresent)
        {
            AddOfBox(inputs, batch, head, query, scores);
            return;
        }
        var bias = inputs.Bias + inputs.BiasLayout.At(batch, head, query);
        if (inputs.BiasLayout.Key == 0)
        {
            if (*bias == 0)
                return;
            var same = TSimd.Broadcast(*bias);
            for (var column = 0; column < inputs.Keys; column += TSimd.Width)
                TSimd.Store(TSimd.Add(TSimd.Load(scores + column), same), scores + column);
            return;
        }
        for (var column = 0; column < inputs.Keys; column += TSimd.Width)
        {
            var added = Lanes<TVector, TSimd>.Load(bias + column, inputs.Keys - column);
            TSimd.Store(TSimd.Add(TSimd.Load(scores + column), added), scores + column);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddOfBox(in AttentionInputs<float> inputs, int batch, int head, int query, float* scores)
    {
        var box = inputs.BoxBias;
        var row = ((long)batch * inputs.Queries) + query;
        var columns = box.Columns + (row * box.ColumnCount * inputs.Heads) + head;
        var rows = box.Rows + (row * box.RowCount * inputs.Heads) + head;
        var (rowLimit, columnLimit) = (box.Extent[2 * batch], box.Extent[(2 * batch) + 1]);
        // The columns' biases side by side, without and with the penalty of columns that are padding.
        var together = stackalloc float[2 * box.ColumnCount];
        for (var x = 0; x < box.ColumnCount; x++)
        {
            together[x] = columns[(long)x * inputs.Heads];
            together[box.ColumnCount + x] = together[x] - (x >= columnLimit ? Penalty : 0);
        }
        for (var y = 0; y < box.RowCount; y++, scores += box.ColumnCount)
        {
            var ofRow = TSimd.Broadcast(rows[(long)y * inputs.Heads] - (y >= rowLimit ? Penalty : 0));
            var ofColumns = y >= rowLimit ? together : together + box.ColumnCount;
            for (var x = 0; x < box.ColumnCount; x += TSimd.Width)
            {
                var rest = box.ColumnCount - x;
                var bias = TSimd.Add(Lanes<TVector, TSimd>.Load(ofColumns + x, rest), ofRow);
                Lanes<TVector, TSimd>.Store(TSimd.Add(Lanes<TVector, TSimd>.Load(scores + x, rest), bias), scores + x, rest);
            }
        }
    }
}
