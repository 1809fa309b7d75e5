using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>
/// The regions of bi-level routing attention in standard operators, for the function bodies of the operator and its gradient.
/// R is the number of regions, T the number of positions in one, h the number of heads, d the width of one.
/// </summary>
internal sealed class RegionGrid
{
    private readonly GraphBuilder _builder;
    private readonly Value _height, _width, _regionHeight, _regionWidth, _rows, _columns, _heads, _scale;
    private readonly Value _query;

    public RegionGrid(GraphBuilder builder, Value query)
    {
        (_builder, _query) = (builder, query);
        (_height, _width) = (query.ShapeOf(1, 2), query.ShapeOf(2, 3));
        var windowCount = builder.Attribute("window_count", typeof(long)).Reshape(1);
        var one = builder.Int64(1);
        _regionHeight = builder.Op("Max", [_height / windowCount, one]);
        _regionWidth = builder.Op("Max", [_width / windowCount, one]);
        _rows = (_height + _regionHeight - one) / _regionHeight;
        _columns = (_width + _regionWidth - one) / _regionWidth;
        _heads = builder.Attribute("num_heads", typeof(long)).Reshape(1);
        _scale = builder.Attribute("scale", typeof(float));
    }

    private Value RegionCount => _rows * _columns;

    /// <summary>[N, H, W, C] to [N, R, T, C], with zeros behind the map.</summary>
    public Value Regions(Value map)
    {
        var none = _builder.Int64(0);
        var pads = _builder.Concat(0, none, none, none, none, none,
            (_rows * _regionHeight) - _height, (_columns * _regionWidth) - _width, none);
        var padded = _builder.Op("Pad", [map, pads]);
        return padded.Reshape(Sizes(0, _rows, _regionHeight, _columns, _regionWidth, -1)).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(Sizes(0, RegionCount, _regionHeight * _regionWidth, -1));
    }

    /// <summary>[N, R, T, ...] to [N, H, W, C]: undoes <see cref="Regions"/>, merging the axes behind T.</summary>
    public Value Map(Value regions)
    {
        var map = regions.Reshape(Sizes(0, _rows, _columns, _regionHeight, _regionWidth, -1)).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(Sizes(0, _rows * _regionHeight, _columns * _regionWidth, -1));
        return Crop(map, 1, 2);
    }

    /// <summary>[N, R, h, T] to [N, h, H, W].</summary>
    public Value MapOfHeads(Value regions)
    {
        var map = regions.Reshape(Sizes(0, _rows, _columns, _heads, _regionHeight, _regionWidth)).Transpose(0, 3, 1, 4, 2, 5)
            .Reshape(Sizes(0, _heads, _rows * _regionHeight, _columns * _regionWidth));
        return Crop(map, 2, 3);
    }

    /// <summary>[N, R, T, C] to the float32 mean of each region over its positions on the map, [N, R, C].</summary>
    public Value Mean(Value regions)
    {
        var rows = PositionsOnMap(_rows, _regionHeight, _height).Unsqueeze(1);
        var columns = PositionsOnMap(_columns, _regionWidth, _width).Unsqueeze(0);
        var count = (rows * columns).Reshape(1, -1, 1).Cast(TensorElementType.Float);
        return regions.Cast(TensorElementType.Float).ReduceSum([2]) / count;
    }

    /// <summary>The regions that each region attends to: [N, R, T, C] to [N, R, k * T, C].</summary>
    public Value Gather(Value regions, Value routing)
    {
        var zero = _builder.Constant(Tensor.Scalar(0L));
        var batch = _builder.Op("Range", [zero, _query.ShapeOf(0, 1).Squeeze(0), _builder.Constant(Tensor.Scalar(1L))]);
        var offset = (batch * RegionCount).Reshape(-1, 1, 1);
        var all = regions.Reshape(Sizes(-1, _regionHeight * _regionWidth, regions.ShapeOf(3, 4)));
        return all.Gather(routing + offset).Reshape(_builder.Concat(0, _builder.Int64(0, 0, -1), regions.ShapeOf(3, 4)));
    }

    /// <summary>The adjoint of <see cref="Gather"/>: sums [N, R, k * T, C] into the regions they came from, [N, R, T, C].</summary>
    public Value Scatter(Value gathered, Value routing)
    {
        var zero = _builder.Constant(Tensor.Scalar(0L));
        var regions = _builder.Op("Range", [zero, RegionCount.Squeeze(0), _builder.Constant(Tensor.Scalar(1L))]);
        var origin = _builder.Op("Equal", [routing.Reshape(0, -1, 1), regions]);
        var chosen = _builder.Op("CastLike", [origin, gathered]).Transpose(0, 2, 1);
        var parts = gathered.Reshape(_builder.Concat(0, _builder.Int64(0), RegionCount * routing.ShapeOf(2, 3), _builder.Int64(-1)));
        return chosen.MatMul(parts).Reshape(Sizes(0, RegionCount, _regionHeight * _regionWidth, -1));
    }

    /// <summary>[N, R, M, C] to [N, R, h, M, d].</summary>
    public Value Heads(Value tokens) => SplitHeads(tokens).Transpose(0, 1, 3, 2, 4);

    /// <summary>
    /// The scaled scores of the queries of each region against the keys of the regions it attends to: [N, R, h, T, k * T].
    /// </summary>
    public Value Scores(Value query, Value key, Value routing) =>
        Scaled(Heads(query)).MatMul(SplitHeads(Gather(key, routing)).Transpose(0, 1, 3, 4, 2));

    /// <summary>Multiplies by the attribute <c>scale</c>.</summary>
    public Value Scaled(Value value) => value * _builder.Op("CastLike", [_scale, value]);

    /// <summary>[N, R, h, M, d] to [N, R, M, C]: undoes <see cref="Heads"/>.</summary>
    public static Value MergeHeads(Value heads) => heads.Transpose(0, 1, 3, 2, 4).Reshape(heads.Builder.Int64(0, 0, 0, -1));

    private Value SplitHeads(Value tokens) => tokens.Reshape(Sizes(0, 0, 0, _heads, -1));

    private Value PositionsOnMap(Value regionCount, Value regionSize, Value mapSize)
    {
        var zero = _builder.Constant(Tensor.Scalar(0L));
        var region = _builder.Op("Range", [zero, regionCount.Squeeze(0), _builder.Constant(Tensor.Scalar(1L))]);
        return _builder.Op("Min", [regionSize, mapSize - (region * regionSize)]);
    }

    private Value Crop(Value map, long heightAxis, long widthAxis) =>
        _builder.Op("Slice", [map, _builder.Int64(0, 0), _builder.Concat(0, _height, _width), _builder.Int64(heightAxis, widthAxis)]);

    private Value Sizes(params ReadOnlySpan<SizePart> parts)
    {
        var values = new Value[parts.Length];
        for (var i = 0; i < parts.Length; i++)
            values[i] = parts[i].Value ?? _builder.Int64(parts[i].Number);
        return _builder.Concat(0, values);
    }

    private readonly record struct SizePart(Value? Value, long Number)
    {
        public static implicit operator SizePart(Value value) => new(value, 0);

        public static implicit operator SizePart(long number) => new(null, number);
    }
}
