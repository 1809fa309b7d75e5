using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// Products of token rows with the panels of selected regions (<see cref="RegionPanels"/>). Regions that fill vectors are ordinary
/// matrix products. Of smaller regions, a vector takes one region with several rows, so that no lane is idle.
/// </summary>
internal static unsafe class RegionScores<T, TVector, TSimd>
    where T : unmanaged
    where TVector : unmanaged
    where TSimd : ISimd<T, TVector>
{
    /// <summary>Elements of scratch that <see cref="Compute"/> needs.</summary>
    public static long ScratchSize(in RegionPanels panels, int rows, int width) =>
        panels.RegionsPerVector == 1 ? 0 : (long)rows / panels.RegionsPerVector * width * TSimd.Width;

    /// <param name="a">Rows [rows, aRow].</param>
    /// <param name="aRow">Stride of the rows.</param>
    /// <param name="rows">A multiple of <see cref="RegionPanels.RowUnit"/>.</param>
    /// <param name="width">Inner dimension.</param>
    /// <param name="b">The panels of all regions, [R, width, columns].</param>
    /// <param name="panels">Layout of the panels.</param>
    /// <param name="selected">The regions to take.</param>
    /// <param name="count">How many.</param>
    /// <param name="c">Scores [rows, cRow]; region s has columns s * panels.Columns and on.</param>
    /// <param name="cRow">Stride of the scores.</param>
    /// <param name="scratch">See <see cref="ScratchSize"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Compute(
        T* a, int aRow, int rows, int width, T* b, in RegionPanels panels, int* selected, int count, T* c, int cRow, T* scratch)
    {
        var panel = (long)width * panels.Columns;
        if (panels.RegionsPerVector == 1)
        {
            for (var s = 0; s < count; s++)
            {
                TileProduct<T, TVector, TSimd>.Of(a, aRow, b + (selected[s] * panel), panels.Columns, c + (s * panels.Columns), cRow, width)
                    .Run(rows, panels.Columns);
            }
            return;
        }
        switch (panels.Columns * sizeof(T))
        {
            case 8 when panels.Columns > 1:
                ComputeGroups<Vector64<T>>(a, aRow, rows, width, b, panel, selected, count, c, cRow, scratch);
                break;
            case 16:
                ComputeGroups<Vector128<T>>(a, aRow, rows, width, b, panel, selected, count, c, cRow, scratch);
                break;
            case 32:
                ComputeGroups<Vector256<T>>(a, aRow, rows, width, b, panel, selected, count, c, cRow, scratch);
                break;
            default:
                ComputeGroups<T>(a, aRow, rows, width, b, panel, selected, count, c, cRow, scratch);
                break;
        }
    }

    /// <summary>
    /// A vector is (rows) x (tokens of a region): the rows' elements, each repeated for every token, times the tokens' elements,
    /// repeated for every row.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ComputeGroups<TGroup>(
        T* a, int aRow, int rows, int width, T* b, long panel, int* selected, int count, T* c, int cRow, T* repeated)
        where TGroup : unmanaged
    {
        var group = sizeof(TGroup) / sizeof(T);
        var rowsPerVector = TSimd.Width / group;
        var blockSize = (long)width * TSimd.Width;
        for (var row = 0; row < rows; row++)
        {
            var target = repeated + (row / rowsPerVector * blockSize) + (row % rowsPerVector * group);
            for (var i = 0; i < width; i++, target += TSimd.Width)
                Unsafe.WriteUnaligned(target, Repeat<TGroup>(a[(row * aRow) + i]));
        }
        for (var row = 0; row < rows; row += rowsPerVector, repeated += blockSize)
        {
            var cRows = c + (row * cRow);
            var s = 0;
            for (; s + 8 <= count; s += 8)
                Tile8<TGroup>(repeated, width, b, panel, selected + s, cRows + (s * group), cRow);
            for (; s < count; s++)
                Tile1<TGroup>(repeated, width, b + (selected[s] * panel), cRows + (s * group), cRow);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8<TGroup>(T* a, int width, T* b, long panel, int* selected, T* c, int cRow) where TGroup : unmanaged
    {
        var group = sizeof(TGroup) / sizeof(T);
        T* b0 = b + (selected[0] * panel), b1 = b + (selected[1] * panel), b2 = b + (selected[2] * panel), b3 = b + (selected[3] * panel);
        T* b4 = b + (selected[4] * panel), b5 = b + (selected[5] * panel), b6 = b + (selected[6] * panel), b7 = b + (selected[7] * panel);
        TVector c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        var end = (nint)width * group;
        for (nint i = 0; i < end; i += group)
        {
            var x = TSimd.Load(a);
            c0 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b0 + i), c0);
            c1 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b1 + i), c1);
            c2 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b2 + i), c2);
            c3 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b3 + i), c3);
            c4 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b4 + i), c4);
            c5 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b5 + i), c5);
            c6 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b6 + i), c6);
            c7 = TSimd.MultiplyAdd(x, TSimd.BroadcastGroup<TGroup>(b7 + i), c7);
            a += TSimd.Width;
        }
        Scatter<TGroup>(c0, c, cRow);
        Scatter<TGroup>(c1, c + group, cRow);
        Scatter<TGroup>(c2, c + (2 * group), cRow);
        Scatter<TGroup>(c3, c + (3 * group), cRow);
        Scatter<TGroup>(c4, c + (4 * group), cRow);
        Scatter<TGroup>(c5, c + (5 * group), cRow);
        Scatter<TGroup>(c6, c + (6 * group), cRow);
        Scatter<TGroup>(c7, c + (7 * group), cRow);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile1<TGroup>(T* a, int width, T* b, T* c, int cRow) where TGroup : unmanaged
    {
        TVector even = default, odd = default;
        var group = sizeof(TGroup) / sizeof(T);
        var i = 0;
        for (; i + 2 <= width; i += 2, a += 2 * TSimd.Width, b += 2 * group)
        {
            even = TSimd.MultiplyAdd(TSimd.Load(a), TSimd.BroadcastGroup<TGroup>(b), even);
            odd = TSimd.MultiplyAdd(TSimd.Load(a + TSimd.Width), TSimd.BroadcastGroup<TGroup>(b + group), odd);
        }
        if (i < width)
            even = TSimd.MultiplyAdd(TSimd.Load(a), TSimd.BroadcastGroup<TGroup>(b), even);
        Scatter<TGroup>(TSimd.Add(even, odd), c, cRow);
    }

    /// <summary>One group to each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter<TGroup>(TVector value, T* c, int cRow) where TGroup : unmanaged
    {
        var groups = (TGroup*)&value;
        for (var row = 0; row < sizeof(TVector) / sizeof(TGroup); row++)
            Unsafe.WriteUnaligned(c + (row * cRow), groups[row]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TGroup Repeat<TGroup>(T value) where TGroup : unmanaged
    {
        if (typeof(TGroup) == typeof(Vector256<T>))
            return Unsafe.BitCast<Vector256<T>, TGroup>(Vector256.Create(value));
        if (typeof(TGroup) == typeof(Vector128<T>))
            return Unsafe.BitCast<Vector128<T>, TGroup>(Vector128.Create(value));
        if (typeof(TGroup) == typeof(Vector64<T>))
            return Unsafe.BitCast<Vector64<T>, TGroup>(Vector64.Create(value));
        return Unsafe.BitCast<T, TGroup>(value);
    }
}
