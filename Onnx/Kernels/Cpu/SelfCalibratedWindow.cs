using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// One head of a window and of its window of the support, laid out for products. Columns are the window's own keys, then those of the
/// support. A score is a product over the query's norm times the column's, plus the column's offset: of own keys, which the scale of the
/// products has gone into, that is 1.
/// </summary>
internal unsafe struct SelfCalibratedWindow<TVector, TSimd>
    where TVector : unmanaged
    where TSimd : ISimd<float, TVector>
{
    private const float Epsilon = (float)Ops.SelfCalibratedCrossAttention.CosineEpsilon;

    private SelfCalibratedInputs<float> _inputs;

    public AttentionTiles Tiles;
    public float* KeyPanels;
    public float* QueryRows;
    public float* QueryNorms;
    public float* ValueRows;
    public float* ColumnNorms;

    private float* _columnOffsets;

    public SelfCalibratedWindow(in SelfCalibratedInputs<float> inputs)
    {
        _inputs = inputs;
        Tiles = new(
            new AttentionInputs<float>
            {
                Heads = inputs.Heads, Queries = inputs.Length, Keys = inputs.Length + inputs.SupportLength,
                QueryChannels = inputs.Channels, ValueChannels = inputs.Channels,
            },
            TSimd.Width, headByHead: true);
    }

    public readonly int Columns => _inputs.Length + _inputs.SupportLength;

    public void Lay(ref Partition partition)
    {
        KeyPanels = partition.Take<float>((long)_inputs.Width * Tiles.Columns);
        QueryRows = partition.Take<float>((long)AttentionTiles.PadRows(_inputs.Length) * Tiles.QueryRow);
        QueryNorms = partition.Take<float>(_inputs.Length);
        ValueRows = partition.Take<float>((long)Columns * Tiles.ValueRow);
        ColumnNorms = partition.Take<float>(Tiles.Columns);
        _columnOffsets = partition.Take<float>(Tiles.Columns);
    }

    /// <summary>Copies the rows of a window and its window of the support.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Load(long window, int head)
    {
        var (length, width, channels) = (_inputs.Length, _inputs.Width, _inputs.Channels);
        var own = _inputs.Packed.At(window * length) + (head * width);
        var support = _inputs.Support.At(_inputs.Aligned(window) * _inputs.SupportLength) + (head * width);
        var (ownStride, supportStride) = (_inputs.Packed.Stride, _inputs.Support.Stride);
        AttentionTiles.Copy(own, ownStride, QueryRows, Tiles.QueryRow, length, width);
        AttentionTiles.Copy(own + (2 * channels), ownStride, ValueRows, Tiles.ValueRow, length, width);
        AttentionTiles.Copy(
            support + channels, supportStride, ValueRows + ((long)length * Tiles.ValueRow), Tiles.ValueRow, _inputs.SupportLength, width);
        PackKeys(KeyPanels, own + channels, support, _inputs.Scale);
        for (var row = 0; row < length; row++)
            QueryNorms[row] = Norm(QueryRows + ((long)row * Tiles.QueryRow), width);
        new Span<float>(ColumnNorms, Tiles.Columns).Clear();
        new Span<float>(_columnOffsets, Tiles.Columns).Fill(1);
        for (var key = 0; key < _inputs.SupportLength; key++)
            ColumnNorms[length + key] = Norm(support + ((long)key * supportStride), width);
        new Span<float>(_columnOffsets + length, _inputs.SupportLength).Fill(Epsilon);
    }

    /// <summary>The rows of both windows as columns of [width, Columns].</summary>
    public readonly void PackKeys(float* panels, float* own, float* support, float factor)
    {
        Tiles.ClearPadding(_inputs.Width, panels);
        Tiles.PackPanels(own, _inputs.Packed.Stride, 0, _inputs.Length, _inputs.Width, factor, panels);
        Tiles.PackPanels(support, _inputs.Support.Stride, _inputs.Length, _inputs.SupportLength, _inputs.Width, 1, panels);
    }

    /// <summary>What the products of a query are divided by, from a column on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly TVector Denominators(TVector queryNorm, int column) =>
        TSimd.MultiplyAdd(queryNorm, TSimd.Load(ColumnNorms + column), TSimd.Load(_columnOffsets + column));

    private static float Norm(float* row, int width)
    {
        var sum = 0f;
        for (var channel = 0; channel < width; channel++)
            sum += row[channel] * row[channel];
        return MathF.Sqrt(sum);
    }
}
