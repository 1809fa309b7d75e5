namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>
/// A map cut into regions, row by row; those at the bottom and the right may reach beyond the map. A token is a position in a region,
/// counted row by row.
/// </summary>
internal readonly record struct RegionLayout
{
    public RegionLayout(int height, int width, int windowCount)
    {
        (Height, Width) = (height, width);
        RegionHeight = Math.Max(1, height / windowCount);
        RegionWidth = Math.Max(1, width / windowCount);
        Columns = (width + RegionWidth - 1) / RegionWidth;
        Count = Columns * ((height + RegionHeight - 1) / RegionHeight);
    }

    public int Height { get; }

    public int Width { get; }

    public int RegionHeight { get; }

    public int RegionWidth { get; }

    /// <summary>Regions in a row of regions.</summary>
    public int Columns { get; }

    /// <summary>Regions of the map.</summary>
    public int Count { get; }

    /// <summary>Tokens of a region, those beyond the map included.</summary>
    public int Tokens => RegionHeight * RegionWidth;

    public Region this[int index] => new(this, index);
}

/// <summary>One region of a map.</summary>
internal readonly struct Region
{
    private readonly int _top;
    private readonly int _left;
    private readonly int _mapWidth;

    public Region(in RegionLayout layout, int index)
    {
        _top = index / layout.Columns * layout.RegionHeight;
        _left = index % layout.Columns * layout.RegionWidth;
        _mapWidth = layout.Width;
        Height = Math.Min(layout.RegionHeight, layout.Height - _top);
        Width = Math.Min(layout.RegionWidth, layout.Width - _left);
    }

    /// <summary>Rows on the map.</summary>
    public int Height { get; }

    /// <summary>Columns on the map.</summary>
    public int Width { get; }

    /// <summary>Positions on the map.</summary>
    public int Positions => Height * Width;

    /// <summary>The place in the map, counted row by row, of a position of this region.</summary>
    public long Place(int row, int column) => ((long)(_top + row) * _mapWidth) + _left + column;

    /// <summary>The place in the map of the positions on the map, counted row by row.</summary>
    public long Place(int position) => Place(position / Width, position % Width);
}
