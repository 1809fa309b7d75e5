using System.Runtime.CompilerServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cpu;

/// <summary>
/// A matrix product C = A B, or C += A B, in register tiles of 4 or 8 rows. The inner dimension is <see cref="SegmentCount"/> segments
/// of <see cref="SegmentLength"/> steps; those of B are found by a list, so B can be rows gathered from a larger array without a copy.
/// Strides are in elements.
/// </summary>
internal unsafe struct TileProduct<T, TVector, TSimd>
    where T : unmanaged
    where TVector : unmanaged
    where TSimd : ISimd<T, TVector>
{
    /// <summary>The unit of the number of rows.</summary>
    public const int RowUnit = 4;

    public T* A;
    public nint ARow;
    public nint AStep;
    public nint ASegment;
    public T* B;
    public nint BStep;
    public nint BSegment;
    public T* C;
    public nint CRow;
    public bool Accumulate;
    public int SegmentLength;

    private int* _segments;

    public int SegmentCount { get; private set; }

    /// <summary>A rows of <paramref name="length"/> contiguous steps.</summary>
    public static TileProduct<T, TVector, TSimd> Of(T* a, nint aRow, T* b, nint bStep, T* c, nint cRow, int length) => new()
    {
        A = a,
        ARow = aRow,
        AStep = 1,
        B = b,
        BStep = bStep,
        C = c,
        CRow = cRow,
        SegmentLength = length,
        SegmentCount = 1,
    };

    /// <summary>Takes the segments of B at multiples of <paramref name="bSegment"/> and those of A one after another.</summary>
    public TileProduct<T, TVector, TSimd> Gather(int* segments, int count, nint aSegment, nint bSegment)
    {
        var gathered = this;
        gathered._segments = segments;
        gathered.SegmentCount = count;
        gathered.ASegment = aSegment;
        gathered.BSegment = bSegment;
        return gathered;
    }

    /// <param name="rows">Rows of A and C, a multiple of <see cref="RowUnit"/>.</param>
    /// <param name="columns">Columns of B and C, a multiple of the vector width.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Run(int rows, int columns)
    {
        var zero = 0;
        var product = this;
        if (product._segments == null)
            product._segments = &zero;
        var column = 0;
        for (; column + (2 * TSimd.Width) <= columns; column += 2 * TSimd.Width)
        {
            for (var row = 0; row < rows; row += 4)
                Tile4x2(product, row, column);
        }
        if (column == columns)
            return;
        var last = 0;
        for (; last + 8 <= rows; last += 8)
            Tile8x1(product, last, column);
        if (last < rows)
            Tile4x1(product, last, column);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x2(in TileProduct<T, TVector, TSimd> p, int row, int column)
    {
        nint aRow = p.ARow, aStep = p.AStep, bStep = p.BStep;
        var a0 = p.A + (row * aRow);
        TVector c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default, c30 = default, c31 = default;
        for (var segment = 0; segment < p.SegmentCount; segment++)
        {
            var a = a0 + (segment * p.ASegment);
            var b = p.B + (p._segments[segment] * p.BSegment) + column;
            for (var step = 0; step < p.SegmentLength; step++)
            {
                var b0 = TSimd.Load(b);
                var b1 = TSimd.Load(b + TSimd.Width);
                var x = TSimd.Broadcast(a[0]);
                c00 = TSimd.MultiplyAdd(x, b0, c00);
                c01 = TSimd.MultiplyAdd(x, b1, c01);
                x = TSimd.Broadcast(a[aRow]);
                c10 = TSimd.MultiplyAdd(x, b0, c10);
                c11 = TSimd.MultiplyAdd(x, b1, c11);
                x = TSimd.Broadcast(a[2 * aRow]);
                c20 = TSimd.MultiplyAdd(x, b0, c20);
                c21 = TSimd.MultiplyAdd(x, b1, c21);
                x = TSimd.Broadcast(a[3 * aRow]);
                c30 = TSimd.MultiplyAdd(x, b0, c30);
                c31 = TSimd.MultiplyAdd(x, b1, c31);
                a += aStep;
                b += bStep;
            }
        }
        var c = p.C + (row * p.CRow) + column;
        Put(p, c, c00, c01);
        Put(p, c + p.CRow, c10, c11);
        Put(p, c + (2 * p.CRow), c20, c21);
        Put(p, c + (3 * p.CRow), c30, c31);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile8x1(in TileProduct<T, TVector, TSimd> p, int row, int column)
    {
        nint aRow = p.ARow, aStep = p.AStep, bStep = p.BStep;
        var a0 = p.A + (row * aRow);
        TVector c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        for (var segment = 0; segment < p.SegmentCount; segment++)
        {
            var a = a0 + (segment * p.ASegment);
            var b = p.B + (p._segments[segment] * p.BSegment) + column;
            for (var step = 0; step < p.SegmentLength; step++)
            {
                var b0 = TSimd.Load(b);
                var low = a;
                var high = a + (4 * aRow);
                c0 = TSimd.MultiplyAdd(TSimd.Broadcast(low[0]), b0, c0);
                c1 = TSimd.MultiplyAdd(TSimd.Broadcast(low[aRow]), b0, c1);
                c2 = TSimd.MultiplyAdd(TSimd.Broadcast(low[2 * aRow]), b0, c2);
                c3 = TSimd.MultiplyAdd(TSimd.Broadcast(low[3 * aRow]), b0, c3);
                c4 = TSimd.MultiplyAdd(TSimd.Broadcast(high[0]), b0, c4);
                c5 = TSimd.MultiplyAdd(TSimd.Broadcast(high[aRow]), b0, c5);
                c6 = TSimd.MultiplyAdd(TSimd.Broadcast(high[2 * aRow]), b0, c6);
                c7 = TSimd.MultiplyAdd(TSimd.Broadcast(high[3 * aRow]), b0, c7);
                a += aStep;
                b += bStep;
            }
        }
        var c = p.C + (row * p.CRow) + column;
        Put(p, c, c0);
        Put(p, c + p.CRow, c1);
        Put(p, c + (2 * p.CRow), c2);
        Put(p, c + (3 * p.CRow), c3);
        Put(p, c + (4 * p.CRow), c4);
        Put(p, c + (5 * p.CRow), c5);
        Put(p, c + (6 * p.CRow), c6);
        Put(p, c + (7 * p.CRow), c7);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile4x1(in TileProduct<T, TVector, TSimd> p, int row, int column)
    {
        nint aRow = p.ARow, aStep = p.AStep, bStep = p.BStep;
        var a0 = p.A + (row * aRow);
        TVector c0 = default, c1 = default, c2 = default, c3 = default;
        for (var segment = 0; segment < p.SegmentCount; segment++)
        {
            var a = a0 + (segment * p.ASegment);
            var b = p.B + (p._segments[segment] * p.BSegment) + column;
            for (var step = 0; step < p.SegmentLength; step++)
            {
                var b0 = TSimd.Load(b);
                c0 = TSimd.MultiplyAdd(TSimd.Broadcast(a[0]), b0, c0);
                c1 = TSimd.MultiplyAdd(TSimd.Broadcast(a[aRow]), b0, c1);
                c2 = TSimd.MultiplyAdd(TSimd.Broadcast(a[2 * aRow]), b0, c2);
                c3 = TSimd.MultiplyAdd(TSimd.Broadcast(a[3 * aRow]), b0, c3);
                a += aStep;
                b += bStep;
            }
        }
        var c = p.C + (row * p.CRow) + column;
        Put(p, c, c0);
        Put(p, c + p.CRow, c1);
        Put(p, c + (2 * p.CRow), c2);
        Put(p, c + (3 * p.CRow), c3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(in TileProduct<T, TVector, TSimd> p, T* c, TVector value) =>
        TSimd.Store(p.Accumulate ? TSimd.Add(TSimd.Load(c), value) : value, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put(in TileProduct<T, TVector, TSimd> p, T* c, TVector low, TVector high)
    {
        Put(p, c, low);
        Put(p, c + TSimd.Width, high);
    }
}
