using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// A picture that is changed in place by the operations of Pillow's <c>ImageOps</c> and <c>ImageEnhance</c>; results equal Pillow's bit for
/// bit. The fourth byte of a pixel is ignored.
/// </summary>
/// <param name="pixels">The pixels, <c>[height, width, 4]</c>.</param>
/// <param name="width">The picture's width.</param>
/// <param name="height">The picture's height.</param>
internal readonly ref struct PictureEdit(Span<byte> pixels, int width, int height)
{
    private const int Levels = 256;

    public Span<byte> Pixels { get; } = pixels[..(width * height * PixelView.BytesPerPixel)];

    public int Width { get; } = width;

    public int Height { get; } = height;

    /// <summary>The negative.</summary>
    public void Invert()
    {
        foreach (ref var pixel in MemoryMarshal.Cast<byte, uint>(Pixels))
            pixel = ~pixel;
    }

    /// <summary>Inverts the levels from a threshold on.</summary>
    public void Solarize(int threshold)
    {
        Span<byte> table = stackalloc byte[Levels];
        for (var level = 0; level < Levels; level++)
            table[level] = (byte)(level < threshold ? level : 255 - level);
        Map(table);
    }

    /// <summary>Adds to the levels of the darker half.</summary>
    public void SolarizeAdd(int addition)
    {
        Span<byte> table = stackalloc byte[Levels];
        for (var level = 0; level < Levels; level++)
            table[level] = (byte)(level < Levels / 2 ? Math.Min(level + addition, 255) : level);
        Map(table);
    }

    /// <summary>Keeps the highest bits of each level.</summary>
    public void Posterize(int bits)
    {
        var mask = (0xFFu << (8 - bits)) & 0xFF;
        foreach (ref var pixel in MemoryMarshal.Cast<byte, uint>(Pixels))
            pixel &= mask * 0x01010101;
    }

    /// <summary>Blends with black.</summary>
    public void Brightness(float factor) => BlendWith(0, factor);

    /// <summary>Blends with the mean grey.</summary>
    public void Contrast(float factor)
    {
        var sum = 0L;
        for (var i = 0; i < Pixels.Length; i += PixelView.BytesPerPixel)
            sum += Grey(Pixels[i], Pixels[i + 1], Pixels[i + 2]);
        BlendWith((int)((double)sum / (Width * Height) + 0.5), factor);
    }

    /// <summary>Blends each pixel with its grey.</summary>
    public void Colour(float factor)
    {
        foreach (ref var pixel in MemoryMarshal.Cast<byte, uint>(Pixels))
        {
            var levels = Vector128.ConvertToSingle(Widen(pixel));
            var grey = Vector128.Create((float)Grey((byte)pixel, (byte)(pixel >> 8), (byte)(pixel >> 16)));
            var blended = Vector128.ConvertToInt32(Clip(grey + (levels - grey) * factor));
            pixel = Narrow(blended);
        }
    }

    /// <summary>Blends with a picture smoothed by (1 1 1, 1 5 1, 1 1 1) / 13; the border stays as it is.</summary>
    public void Sharpness(float factor)
    {
        var rented = ArrayPool<byte>.Shared.Rent(Pixels.Length);
        Pixels.CopyTo(rented);
        var source = MemoryMarshal.Cast<byte, uint>(rented);
        var result = MemoryMarshal.Cast<byte, uint>(Pixels);
        for (var y = 1; y < Height - 1; y++)
        {
            for (var x = 1; x < Width - 1; x++)
            {
                var centre = Widen(source[y * Width + x]);
                var sum = centre * 4;
                for (var row = y - 1; row <= y + 1; row++)
                {
                    var three = source.Slice(row * Width + x - 1, 3);
                    sum += Widen(three[0]) + Widen(three[1]) + Widen(three[2]);
                }
                // (2 sum + 13) / 26, exact for sums of bytes.
                var smooth = Vector128.ConvertToSingle(((sum * 2 + Vector128.Create(13)) * 40330) >> 20);
                result[y * Width + x] = Narrow(Vector128.ConvertToInt32(
                    Clip(smooth + (Vector128.ConvertToSingle(centre) - smooth) * factor)));
            }
        }
        ArrayPool<byte>.Shared.Return(rented);
    }

    /// <summary>Stretches each channel's levels from its darkest to its brightest over the whole range.</summary>
    public void AutoContrast()
    {
        Span<int> counts = stackalloc int[Levels];
        Span<byte> table = stackalloc byte[Levels];
        for (var channel = 0; channel < 3; channel++)
        {
            Count(channel, counts);
            var (low, high) = (counts.IndexOfAnyExcept(0), counts.LastIndexOfAnyExcept(0));
            if (high <= low)
                continue;
            var scale = 255.0 / (high - low);
            var offset = -low * scale;
            for (var level = 0; level < Levels; level++)
                table[level] = (byte)Math.Clamp((int)(level * scale + offset), 0, 255);
            Map(table, channel);
        }
    }

    /// <summary>Makes each channel's levels equally frequent.</summary>
    public void Equalize()
    {
        Span<int> counts = stackalloc int[Levels];
        Span<byte> table = stackalloc byte[Levels];
        for (var channel = 0; channel < 3; channel++)
        {
            Count(channel, counts);
            var step = (Width * Height - counts[counts.LastIndexOfAnyExcept(0)]) / 255;
            if (step == 0)
                continue;
            var sum = step / 2;
            for (var level = 0; level < Levels; level++)
            {
                table[level] = (byte)Math.Min(sum / step, 255);
                sum += counts[level];
            }
            Map(table, channel);
        }
    }

    private void Count(int channel, Span<int> counts)
    {
        counts.Clear();
        for (var i = channel; i < Pixels.Length; i += PixelView.BytesPerPixel)
            counts[Pixels[i]]++;
    }

    private void BlendWith(int other, float factor)
    {
        Span<byte> table = stackalloc byte[Levels];
        for (var level = 0; level < Levels; level++)
            table[level] = Blend(other, level, factor);
        Map(table);
    }

    private void Map(ReadOnlySpan<byte> table)
    {
        foreach (ref var level in Pixels)
            level = table[level];
    }

    private void Map(ReadOnlySpan<byte> table, int channel)
    {
        for (var i = channel; i < Pixels.Length; i += PixelView.BytesPerPixel)
            Pixels[i] = table[Pixels[i]];
    }

    private static Vector128<int> Widen(uint pixel) =>
        Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(pixel).AsByte())).AsInt32();

    private static uint Narrow(Vector128<int> levels)
    {
        var words = Vector128.Narrow(levels, levels).AsUInt16();
        return Vector128.Narrow(words, words).AsUInt32().ToScalar();
    }

    private static Vector128<float> Clip(Vector128<float> levels) =>
        Vector128.Min(Vector128.Max(levels, Vector128<float>.Zero), Vector128.Create(255f));

    private static byte Grey(byte red, byte green, byte blue) => (byte)((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);

    private static byte Blend(int from, int to, float factor) => (byte)Math.Clamp(from + factor * (to - from), 0, 255);
}
