namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>The attributes that bi-level routing attention and its gradient have.</summary>
internal sealed class BiLevelRouting
{
    private readonly int _heads;
    private readonly int _windowCount;
    private readonly int _topK;
    private readonly float _scale;

    public BiLevelRouting(KernelAttributes attributes)
    {
        _heads = attributes.PositiveInt("num_heads");
        _windowCount = attributes.PositiveInt("window_count");
        _topK = attributes.PositiveInt("top_k");
        _scale = attributes.Float("scale", float.NaN);
    }

    /// <summary>Checks the inputs query, key and value, of which query is input <paramref name="first"/>.</summary>
    public BiLevelRoutingSizes Sizes(KernelContext context, int first)
    {
        var query = context.Input(first).Expect("[N, H, W, Cq]", -1, -1, -1, -1).Shape;
        context.Input(first + 1).Expect("[N, H, W, Cq]", query.Dims);
        var value = context.Input(first + 2).Expect("[N, H, W, C]", query.Dims[0], query.Dims[1], query.Dims[2], -1).Shape;
        var layout = new RegionLayout(query[1], query[2], _windowCount);
        if (query[3] % _heads != 0 || value[3] % _heads != 0)
            throw new KernelException($"query has {query[3]} and value {value[3]} channels, expected multiples of num_heads = {_heads}");
        if (_topK > layout.Count)
        {
            throw new KernelException(
                $"top_k is {_topK}, but a map of {query[1]} x {query[2]} with window_count {_windowCount} has {layout.Count} regions");
        }
        return new BiLevelRoutingSizes
        {
            Layout = layout,
            Batch = query[0],
            Heads = _heads,
            TopK = _topK,
            QueryChannels = query[3],
            ValueChannels = value[3],
            Scale = float.IsNaN(_scale) ? 1 / Math.Sqrt(query[3]) : _scale,
        };
    }
}

/// <summary>The sizes of one call of bi-level routing attention or its gradient.</summary>
internal readonly struct BiLevelRoutingSizes
{
    public required RegionLayout Layout { get; init; }

    public required int Batch { get; init; }

    public required int Heads { get; init; }

    public required int TopK { get; init; }

    /// <summary>Channels of query and key, all heads.</summary>
    public required int QueryChannels { get; init; }

    /// <summary>Channels of value and output, all heads.</summary>
    public required int ValueChannels { get; init; }

    /// <summary>What the scores are multiplied by.</summary>
    public required double Scale { get; init; }

    public int QueryWidth => QueryChannels / Heads;

    public int ValueWidth => ValueChannels / Heads;

    public long Positions => (long)Layout.Height * Layout.Width;
}
