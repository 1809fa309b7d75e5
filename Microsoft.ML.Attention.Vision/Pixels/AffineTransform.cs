using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// Moves the pixels of a picture: the pixel at (x, y) comes from (A x + B y + C, D x + E y + F), with the origin at the picture's corner.
/// Results equal those of Pillow's <c>Image.transform</c> bit for bit.
/// </summary>
internal readonly record struct AffineTransform(double A, double B, double C, double D, double E, double F)
{
    /// <summary>Moves each row in proportion to its height.</summary>
    public static AffineTransform ShearX(double factor) => new(1, factor, 0, 0, 1, 0);

    /// <summary>Moves each column in proportion to its place.</summary>
    public static AffineTransform ShearY(double factor) => new(1, 0, 0, factor, 1, 0);

    /// <summary>Moves the picture by pixels to the left and up.</summary>
    public static AffineTransform Translate(double x, double y) => new(1, 0, x, 0, 1, y);

    /// <summary>Turns a picture about its centre, counter-clockwise.</summary>
    public static AffineTransform Rotate(double degrees, int width, int height)
    {
        var radians = -degrees * Math.PI / 180;
        var (sine, cosine) = (Math.Round(Math.Sin(radians), 15), Math.Round(Math.Cos(radians), 15));
        var (x, y) = (width / 2.0, height / 2.0);
        return new(cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y);
    }

    /// <summary>Transforms a picture in place.</summary>
    /// <param name="picture">The picture.</param>
    /// <param name="bicubic">Whether to interpolate bicubically (a = -1) rather than bilinearly.</param>
    /// <param name="fill">The pixel, as four bytes, where nothing comes from the picture.</param>
    public void Apply(PictureEdit picture, bool bicubic, uint fill)
    {
        var (width, height) = (picture.Width, picture.Height);
        var source = ArrayPool<byte>.Shared.Rent(picture.Pixels.Length);
        picture.Pixels.CopyTo(source);
        var result = MemoryMarshal.Cast<byte, uint>(picture.Pixels);
        for (var i = 0; i < result.Length; i++)
        {
            var (column, row) = (i % width + 0.5, i / width + 0.5);
            var (x, y) = (A * column + B * row + C, D * column + E * row + F);
            result[i] = x < 0 || x >= width || y < 0 || y >= height ? fill
                : bicubic ? Bicubic(source, width, height, x - 0.5, y - 0.5) : Bilinear(source, width, height, x - 0.5, y - 0.5);
        }
        ArrayPool<byte>.Shared.Return(source);
    }

    private static uint Bilinear(ReadOnlySpan<byte> source, int width, int height, double x, double y)
    {
        var (left, top) = ((int)Math.Floor(x), (int)Math.Floor(y));
        var first = Row(source, top);
        var second = top + 1 < height ? Row(source, top + 1) : first;
        return Store(first + (second - first) * (y - top));

        Vector256<double> Row(ReadOnlySpan<byte> source, int row)
        {
            var start = Math.Max(row, 0) * width;
            var (a, b) = (Load(source, start + Math.Max(left, 0)), Load(source, start + Math.Min(left + 1, width - 1)));
            return a + (b - a) * (x - left);
        }
    }

    private static uint Bicubic(ReadOnlySpan<byte> source, int width, int height, double x, double y)
    {
        var (left, top) = ((int)Math.Floor(x) - 1, (int)Math.Floor(y) - 1);
        var first = Row(source, Math.Max(top, 0));
        var second = top + 1 >= 0 && top + 1 < height ? Row(source, top + 1) : first;
        var third = top + 2 < height ? Row(source, top + 2) : second;
        var fourth = top + 3 < height ? Row(source, top + 3) : third;
        return Store(Cubic(first, second, third, fourth, y - top - 1));

        Vector256<double> Row(ReadOnlySpan<byte> source, int row) => Cubic(
            Load(source, row * width + Math.Max(left, 0)), Load(source, row * width + Math.Max(left + 1, 0)),
            Load(source, row * width + Math.Min(left + 2, width - 1)), Load(source, row * width + Math.Min(left + 3, width - 1)),
            x - left - 1);
    }

    private static Vector256<double> Cubic(
        Vector256<double> a, Vector256<double> b, Vector256<double> c, Vector256<double> d, double place) =>
        b + (c - a + ((a - b) * 2 + c - d + (b - a - c + d) * place) * place) * place;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<double> Load(ReadOnlySpan<byte> source, int pixel)
    {
        var value = MemoryMarshal.Cast<byte, uint>(source)[pixel];
        var levels = Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(value).AsByte())).AsInt32();
        return Avx.IsSupported ? Avx.ConvertToVector256Double(levels)
            : Vector256.Create((double)levels[0], levels[1], levels[2], levels[3]);
    }

    // Truncates, as Pillow does.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Store(Vector256<double> levels)
    {
        var clipped = Vector256.Min(Vector256.Max(levels, Vector256<double>.Zero), Vector256.Create(255.0));
        var whole = Avx.IsSupported ? Avx.ConvertToVector128Int32WithTruncation(clipped)
            : Vector128.Create((int)clipped[0], (int)clipped[1], (int)clipped[2], (int)clipped[3]);
        var words = Vector128.Narrow(whole, whole).AsUInt16();
        return Vector128.Narrow(words, words).AsUInt32().ToScalar();
    }
}
