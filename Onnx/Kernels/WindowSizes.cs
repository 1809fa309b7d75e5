using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Onnx.Kernels;

/// <summary>A map and its windows, for the kernels of <see cref="Ops.WindowPartition"/> and <see cref="Ops.WindowMerge"/>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WindowSizes
{
    public int Height;
    public int Width;
    public int Channels;
    public int Rows;
    public int Columns;
    public int Size;
    public int Shift;

    public static WindowSizes Of(TensorShape map, long channels, int size, int shift)
    {
        if (map.Rank != 4)
            throw new KernelException($"the map has shape {map}, expected [N, H, W, C]");
        if (shift < 0 || shift >= size)
            throw new KernelException($"attribute 'shift' is {shift}, expected 0 to {size - 1} for windows of {size}");
        var (height, width) = ((int)map.Dims[1], (int)map.Dims[2]);
        return new()
        {
            Height = height,
            Width = width,
            Channels = (int)channels,
            Rows = (height + size - 1) / size,
            Columns = (width + size - 1) / size,
            Size = size,
            Shift = shift,
        };
    }

    /// <summary>The place in the map, or -1 in the filling, of a place in the windows; both count rows of channels.</summary>
    public readonly long InMap(long place)
    {
        var (window, inside) = (place / (Size * Size), (int)(place % (Size * Size)));
        var (line, column) = (window / Columns, (int)(window % Columns));
        var (image, row) = (line / Rows, (int)(line % Rows));
        var y = ((row * Size) + (inside / Size) + Shift) % (Rows * Size);
        var x = ((column * Size) + (inside % Size) + Shift) % (Columns * Size);
        return y < Height && x < Width ? (((image * Height) + y) * Width) + x : -1;
    }
}
