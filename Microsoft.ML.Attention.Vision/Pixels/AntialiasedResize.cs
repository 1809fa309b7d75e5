using System.Buffers;
using System.Drawing;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// Resizes 8-bit pictures as Pillow does: columns first, then rows, each pass a weighted sum in 22-bit fixed point that is rounded and
/// clipped to 8 bits. Only the pixels of the wanted window are computed, which is what makes resize-then-crop cheap.
/// </summary>
internal static class AntialiasedResize
{
    private const int FractionBits = 22;
    private const int Half = 1 << (FractionBits - 1);

    /// <summary>Resizes <paramref name="source"/> to width x height and writes <paramref name="window"/> of that result.</summary>
    /// <param name="source">The picture.</param>
    /// <param name="width">Width of the whole resized picture.</param>
    /// <param name="height">Height of the whole resized picture.</param>
    /// <param name="filter">The weighting.</param>
    /// <param name="window">The part of the resized picture to write.</param>
    /// <param name="destination">Receives <c>[window.Height, window.Width, 4]</c>.</param>
    public static void Resize(PixelView source, int width, int height, ResampleFilter filter, Rectangle window, Span<byte> destination)
    {
        if (window.Width <= 0 || window.Height <= 0 || !new Rectangle(0, 0, width, height).Contains(window))
        {
            throw new ArgumentOutOfRangeException(
                nameof(window), window, $"The window is not inside the resized picture of {width} x {height}.");
        }

        using var columns = new Taps(source.Width, width, window.X, window.Width, filter);
        using var rows = new Taps(source.Height, height, window.Y, window.Height, filter);
        var firstRow = rows.Start(0);
        var rowCount = rows.Start(window.Height - 1) + rows.Weights(window.Height - 1).Length - firstRow;
        var stride = window.Width * PixelView.BytesPerPixel;

        var narrowed = ArrayPool<byte>.Shared.Rent(checked(rowCount * stride));
        for (var y = 0; y < rowCount; y++)
            SumColumns(source.Row(firstRow + y), columns, narrowed.AsSpan(y * stride, stride));
        for (var y = 0; y < window.Height; y++)
            SumRows(narrowed.AsSpan((rows.Start(y) - firstRow) * stride), stride, rows.Weights(y), destination.Slice(y * stride, stride));
        ArrayPool<byte>.Shared.Return(narrowed);
    }

    private static void SumColumns(ReadOnlySpan<byte> row, in Taps taps, Span<byte> result)
    {
        for (var x = 0; x < result.Length / PixelView.BytesPerPixel; x++)
        {
            var weights = taps.Weights(x);
            var pixels = row.Slice(taps.Start(x) * PixelView.BytesPerPixel, weights.Length * PixelView.BytesPerPixel);
            ref var weight = ref MemoryMarshal.GetReference(weights);
            ref var pixel = ref MemoryMarshal.GetReference(pixels);

            var pairSum = Vector256<int>.Zero;
            var tap = 0;
            for (; tap < weights.Length - 1; tap += 2)
            {
                pairSum += WidenTwo(ref Unsafe.Add(ref pixel, tap * PixelView.BytesPerPixel))
                    * BroadcastTwo(ref Unsafe.Add(ref weight, tap));
            }
            var sum = pairSum.GetLower() + pairSum.GetUpper() + Vector128.Create(Half);
            if (tap < weights.Length)
                sum += WidenOne(ref Unsafe.Add(ref pixel, tap * PixelView.BytesPerPixel)) * weights[tap];
            StoreOne(sum, result[(x * PixelView.BytesPerPixel)..]);
        }
    }

    private static void SumRows(ReadOnlySpan<byte> rows, int stride, ReadOnlySpan<int> weights, Span<byte> result)
    {
        rows = rows[..(weights.Length * stride)];
        ref var first = ref MemoryMarshal.GetReference(rows);
        var x = 0;
        for (; x <= stride - Vector256<byte>.Count; x += Vector256<byte>.Count)
        {
            var (a, b, c, d) = (Vector256.Create(Half), Vector256.Create(Half), Vector256.Create(Half), Vector256.Create(Half));
            ref var pixel = ref Unsafe.Add(ref first, x);
            foreach (var weight in weights)
            {
                var (low, high) = Vector256.Widen(Vector256.LoadUnsafe(ref pixel));
                a += Vector256.WidenLower(low).AsInt32() * weight;
                b += Vector256.WidenUpper(low).AsInt32() * weight;
                c += Vector256.WidenLower(high).AsInt32() * weight;
                d += Vector256.WidenUpper(high).AsInt32() * weight;
                pixel = ref Unsafe.Add(ref pixel, stride);
            }
            var words = (Vector256.Narrow(Clip(a), Clip(b)).AsUInt16(), Vector256.Narrow(Clip(c), Clip(d)).AsUInt16());
            Vector256.Narrow(words.Item1, words.Item2).CopyTo(result[x..]);
        }
        for (; x < stride; x += PixelView.BytesPerPixel)
        {
            var sum = Vector128.Create(Half);
            for (var tap = 0; tap < weights.Length; tap++)
                sum += WidenOne(ref Unsafe.Add(ref first, tap * stride + x)) * weights[tap];
            StoreOne(sum, result[x..]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Clip(Vector256<int> sum) =>
        Vector256.Min(Vector256.Max(sum >> FractionBits, Vector256<int>.Zero), Vector256.Create(255));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> WidenOne(ref byte pixel) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<uint>(ref pixel)).AsByte())).AsInt32();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> WidenTwo(ref byte pixels)
    {
        var bytes = Vector128.CreateScalarUnsafe(Unsafe.ReadUnaligned<ulong>(ref pixels)).AsByte();
        if (Avx2.IsSupported)
            return Avx2.ConvertToVector256Int32(bytes);
        var (first, second) = Vector128.Widen(Vector128.WidenLower(bytes));
        return Vector256.Create(first, second).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> BroadcastTwo(ref int weights)
    {
        var both = Vector256.Create(Unsafe.ReadUnaligned<ulong>(ref Unsafe.As<int, byte>(ref weights))).AsInt32();
        return Vector256.Shuffle(both, Vector256.Create(0, 0, 0, 0, 1, 1, 1, 1));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreOne(Vector128<int> sum, Span<byte> destination)
    {
        var clipped = Vector128.Min(Vector128.Max(sum >> FractionBits, Vector128<int>.Zero), Vector128.Create(255));
        var words = Vector128.Narrow(clipped, clipped).AsUInt16();
        MemoryMarshal.Write(destination, Vector128.Narrow(words, words).AsUInt32().ToScalar());
    }

    /// <summary>Which source pixels make each output pixel along one axis, and their fixed-point weights.</summary>
    private readonly struct Taps : IDisposable
    {
        private readonly int[] _starts;
        private readonly int[] _counts;
        private readonly int[] _weights;
        private readonly int _capacity;

        public Taps(int inputSize, int outputSize, int firstOutput, int outputCount, ResampleFilter filter)
        {
            var (radius, weigh) = Kernel(filter);
            var scale = (double)inputSize / outputSize;
            var stretch = Math.Max(scale, 1);
            var support = radius * stretch;
            _capacity = (int)Math.Ceiling(support) * 2 + 1;
            _starts = ArrayPool<int>.Shared.Rent(outputCount);
            _counts = ArrayPool<int>.Shared.Rent(outputCount);
            _weights = ArrayPool<int>.Shared.Rent(checked(outputCount * _capacity));
            var exact = ArrayPool<double>.Shared.Rent(_capacity);
            for (var i = 0; i < outputCount; i++)
            {
                var centre = (firstOutput + i + 0.5) * scale;
                var start = Math.Max((int)(centre - support + 0.5), 0);
                var count = Math.Min((int)(centre + support + 0.5), inputSize) - start;
                var total = 0.0;
                for (var tap = 0; tap < count; tap++)
                    total += exact[tap] = weigh((tap + start - centre + 0.5) * (1.0 / stretch));
                for (var tap = 0; tap < count; tap++)
                    _weights[i * _capacity + tap] = ToFixedPoint(total == 0 ? exact[tap] : exact[tap] / total);
                (_starts[i], _counts[i]) = (start, count);
            }
            ArrayPool<double>.Shared.Return(exact);
        }

        public int Start(int output) => _starts[output];

        public ReadOnlySpan<int> Weights(int output) => _weights.AsSpan(output * _capacity, _counts[output]);

        public void Dispose()
        {
            ArrayPool<int>.Shared.Return(_starts);
            ArrayPool<int>.Shared.Return(_counts);
            ArrayPool<int>.Shared.Return(_weights);
        }

        private static int ToFixedPoint(double weight) => (int)(weight * (1 << FractionBits) + (weight < 0 ? -0.5 : 0.5));

        private static (double Radius, Func<double, double> Weigh) Kernel(ResampleFilter filter) => filter switch
        {
            ResampleFilter.Box => (0.5, static x => x is > -0.5 and <= 0.5 ? 1 : 0),
            ResampleFilter.Bilinear => (1, static x => Math.Max(1 - Math.Abs(x), 0)),
            ResampleFilter.Hamming => (1, static x => Math.Abs(x) < 1 ? Sinc(x) * (0.54 + 0.46 * Math.Cos(Math.PI * x)) : 0),
            ResampleFilter.Bicubic => (2, static x => Cubic(Math.Abs(x))),
            ResampleFilter.Lanczos => (3, static x => x is >= -3 and < 3 ? Sinc(x) * Sinc(x / 3) : 0),
            _ => throw new ArgumentOutOfRangeException(nameof(filter), filter, "Unknown resampling filter."),
        };

        private static double Cubic(double x)
        {
            const double A = -0.5;
            return x < 1 ? ((A + 2) * x - (A + 3)) * x * x + 1
                : x < 2 ? (((x - 5) * x + 8) * x - 4) * A
                : 0;
        }

        private static double Sinc(double x) => x == 0 ? 1 : Math.Sin(Math.PI * x) / (Math.PI * x);
    }
}
