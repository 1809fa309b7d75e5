namespace Microsoft.ML.Attention.Onnx.Ops;

/// <summary>How a map lies in windows, in standard operators.</summary>
/// <param name="builder">Builds the function of an operator with the attributes <c>size</c> and <c>shift</c>.</param>
/// <param name="map">[N, H, W, ...]</param>
internal sealed class WindowLayout(GraphBuilder builder, Value map)
{
    private readonly Value _size = builder.Attribute("size", typeof(long)).Reshape(1);
    private readonly Value _shift = builder.Attribute("shift", typeof(long)).Reshape(1);
    private readonly Value _sides = map.ShapeOf(1, 3);

    // Windows below and beside each other, [2].
    private Value Counts => (_sides + _size - builder.Int64(1)) / _size;

    // The sides of the map with its filling, [2].
    private Value FilledSides => Counts * _size;

    /// <summary>Adds zeros at the ends.</summary>
    public Value Fill(Value map) => builder.Op(
        "Pad", [map, builder.Concat(0, builder.Int64(0, 0), FilledSides - _sides), null, builder.Int64(1, 2)]);

    /// <summary>Takes the zeros off.</summary>
    public Value Crop(Value filled) => builder.Op("Slice", [filled, builder.Int64(0, 0), _sides, builder.Int64(1, 2)]);

    /// <summary>Up and to the left, cyclically.</summary>
    public Value ShiftBack(Value filled) => Rotate(filled, _ => _shift);

    /// <summary>Down and to the right, cyclically.</summary>
    public Value Shift(Value filled) => Rotate(filled, axis => FilledSides.Slice(0, axis - 1, axis) - _shift);

    /// <summary>[N, rows s, columns s, C] to [N rows columns, s s, C]</summary>
    public Value Cut(Value filled)
    {
        var split = builder.Concat(0, builder.Int64(0), Count(0), _size, Count(1), _size, builder.Int64(-1));
        return filled.Reshape(split).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(builder.Concat(0, builder.Int64(-1), _size * _size, filled.ShapeOf(3)));
    }

    /// <summary>[N rows columns, s s, C] to [N, rows s, columns s, C]</summary>
    public Value Join(Value windows)
    {
        var split = builder.Concat(0, builder.Int64(-1), Counts, _size, _size, windows.ShapeOf(2));
        return windows.Reshape(split).Transpose(0, 1, 3, 2, 4, 5)
            .Reshape(builder.Concat(0, builder.Int64(-1), FilledSides, windows.ShapeOf(2)));
    }

    private Value Count(int index) => Counts.Slice(0, index, index + 1);

    // Begins with what lies at a place.
    private Value Rotate(Value filled, Func<int, Value> placeOf)
    {
        for (var axis = 1; axis <= 2; axis++)
        {
            var (place, axes) = (placeOf(axis), builder.Int64(axis));
            filled = builder.Concat(
                axis,
                builder.Op("Slice", [filled, place, builder.Int64(long.MaxValue), axes]),
                builder.Op("Slice", [filled, builder.Int64(0), place, axes]));
        }
        return filled;
    }
}
