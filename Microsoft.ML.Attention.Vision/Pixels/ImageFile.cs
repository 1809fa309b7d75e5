using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Win32.SafeHandles;
using SkiaSharp;

namespace Microsoft.ML.Attention.Vision.Pixels;

/// <summary>
/// Decodes JPEG, PNG, BMP, GIF (first frame), WebP and ICO files to RGB the way Pillow's <c>Image.open(...).convert("RGB")</c> does:
/// grey is repeated in the three channels, alpha is dropped without compositing, colour profiles and the EXIF orientation are ignored.
/// </summary>
internal static class ImageFile
{
    private const int MaxPixels = 1 << 28;

    /// <summary>Decodes a file. A bad one is an answer, not an exception, because a batch job meets many.</summary>
    public static bool TryRead(string path, PixelBuffer picture, [NotNullWhen(false)] out string? reason)
    {
        if (string.IsNullOrEmpty(path))
        {
            reason = "the path is empty";
            return false;
        }
        byte[] bytes = [];
        try
        {
            using var file = File.OpenHandle(path, options: FileOptions.SequentialScan);
            var length = checked((int)RandomAccess.GetLength(file));
            bytes = ArrayPool<byte>.Shared.Rent(length);
            return TryDecode(bytes.AsSpan(0, ReadAll(file, bytes.AsSpan(0, length))), picture, out reason);
        }
        catch (Exception e) when (
            e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException or OverflowException)
        {
            reason = e switch
            {
                FileNotFoundException or DirectoryNotFoundException => "there is no such file",
                OverflowException => "the file is larger than 2 GB",
                _ => e.Message,
            };
            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }

    /// <summary>Decodes the bytes of a file.</summary>
    public static unsafe bool TryDecode(ReadOnlySpan<byte> bytes, PixelBuffer picture, [NotNullWhen(false)] out string? reason)
    {
        fixed (byte* start = bytes)
        {
            if (bytes.IsEmpty)
            {
                reason = "it is empty";
                return false;
            }
            using var data = SKData.Create((nint)start, bytes.Length);
            using var codec = SKCodec.Create(data);
            if (codec is null)
            {
                reason = "its format is unknown";
                return false;
            }
            var size = codec.Info.Size;
            if ((long)size.Width * size.Height > MaxPixels)
            {
                reason = $"it has {size.Width} x {size.Height} pixels, more than {MaxPixels}";
                return false;
            }
            var alpha = codec.Info.AlphaType == SKAlphaType.Opaque ? SKAlphaType.Opaque : SKAlphaType.Unpremul;
            fixed (byte* pixels = picture.Reset(size.Width, size.Height))
            {
                var result = codec.GetPixels(new SKImageInfo(size.Width, size.Height, SKColorType.Rgba8888, alpha), (nint)pixels);
                reason = result switch
                {
                    SKCodecResult.Success => null,
                    SKCodecResult.IncompleteInput => "it is cut off",
                    _ => $"it is damaged: {result}",
                };
            }
            return reason is null;
        }
    }

    private static int ReadAll(SafeFileHandle file, Span<byte> bytes)
    {
        var total = 0;
        while (total < bytes.Length && RandomAccess.Read(file, bytes[total..], total) is > 0 and var read)
            total += read;
        return total;
    }
}
