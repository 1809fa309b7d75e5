using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>Copies the channels of one head between a map [H, W, C] and the layouts of <see cref="RegionPanels"/>.</summary>
internal static unsafe class RegionPacking
{
    /// <summary>The columns of a panel [width, columns]; tokens beyond the map are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackPanel<T>(T* map, int channels, int width, in RegionLayout layout, in Region region, T* panel, int columns, T factor)
        where T : unmanaged, System.Numerics.INumber<T>
    {
        if (region.Positions < columns)
            new Span<T>(panel, width * columns).Clear();
        for (var row = 0; row < region.Height; row++)
        {
            for (var column = 0; column < region.Width; column++)
            {
                var source = map + (region.Place(row, column) * channels);
                var target = panel + (row * layout.RegionWidth) + column;
                for (var i = 0; i < width; i++, target += columns)
                    *target = source[i] * factor;
            }
        }
    }

    /// <summary>The rows [T, paddedWidth] of all tokens; those beyond the map and the padding are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackTokens<T>(T* map, int channels, int width, in RegionLayout layout, in Region region, T* rows, int paddedWidth)
        where T : unmanaged
    {
        if (region.Positions < layout.Tokens || width < paddedWidth)
            new Span<T>(rows, layout.Tokens * paddedWidth).Clear();
        for (var row = 0; row < region.Height; row++)
        {
            for (var column = 0; column < region.Width; column++)
            {
                var target = rows + (((row * layout.RegionWidth) + column) * paddedWidth);
                Copy(map + (region.Place(row, column) * channels), target, width);
            }
        }
    }

    /// <summary>The rows [count, paddedWidth] of positions on the map, counted in the region; behind them zeros up to <paramref name="rowUnit"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PackPositions<T>(T* map, int channels, int width, in Region region, int first, int count, int rowUnit, T* rows, int paddedWidth)
        where T : unmanaged
    {
        var padded = RegionPanels.RoundUp(count, rowUnit);
        if (padded > count || width < paddedWidth)
            new Span<T>(rows, padded * paddedWidth).Clear();
        for (var i = 0; i < count; i++)
            Copy(map + (region.Place(first + i) * channels), rows + (i * paddedWidth), width);
    }

    /// <summary>The tokens on the map, back to the map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void UnpackTokens<T>(T* rows, int paddedWidth, in RegionLayout layout, in Region region, T* map, int channels, int width)
        where T : unmanaged
    {
        for (var row = 0; row < region.Height; row++)
        {
            for (var column = 0; column < region.Width; column++)
            {
                var source = rows + (((row * layout.RegionWidth) + column) * paddedWidth);
                Copy(source, map + (region.Place(row, column) * channels), width);
            }
        }
    }

    public static void Copy<T>(T* source, T* target, int count) where T : unmanaged =>
        new ReadOnlySpan<T>(source, count).CopyTo(new Span<T>(target, count));
}
