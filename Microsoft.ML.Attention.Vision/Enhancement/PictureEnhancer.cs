using System.Buffers;
using System.Drawing;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Enhances pictures one by one at their own size, in tiles or stretched to the model's size and back. Tiles go through the model in
/// batches. Not thread-safe: one a cursor.
/// </summary>
internal sealed class PictureEnhancer(OnnxSession session, ImagePreprocessing preprocessing, LowLightOutput output, int batchSize)
    : IDisposable
{
    private readonly string[] _inputs = [.. session.Inputs.Keys];
    private readonly RunOptions _runOptions = new();
    private readonly PixelBuffer _tile = new();
    private float[] _values = [];

    private int Height => preprocessing.Height;

    private int Width => preprocessing.Width;

    public MLImage Enhance(PixelView picture) => output.Fit == LowLightFit.Tiled ? EnhanceTiles(picture) : EnhanceWhole(picture);

    public void Dispose()
    {
        _tile.Dispose();
        _runOptions.Dispose();
    }

    private MLImage EnhanceWhole(PixelView picture)
    {
        preprocessing.Apply(picture, Values(1));
        using var outputs = Run(1);
        EnhancedImageColumn.FromRgb(outputs[0].GetTensorDataAsSpan<byte>(), _tile.Reset(Width, Height));
        using var restored = new PixelBuffer();
        var (width, height) = (picture.Width, picture.Height);
        AntialiasedResize.Resize(
            _tile.View, width, height, preprocessing.Filter, new Rectangle(0, 0, width, height), restored.Reset(width, height));
        return EnhancedImageColumn.ToImage(restored.View);
    }

    private MLImage EnhanceTiles(PixelView picture)
    {
        var rows = new TileAxis(picture.Height, Height, output.TileOverlap);
        var columns = new TileAxis(picture.Width, Width, output.TileOverlap);
        var sums = ArrayPool<float>.Shared.Rent(checked(3 * picture.Width * picture.Height));
        Array.Clear(sums);
        var tileCount = rows.Count * columns.Count;
        for (var first = 0; first < tileCount; first += batchSize)
        {
            var count = Math.Min(batchSize, tileCount - first);
            var values = Values(count);
            for (var i = 0; i < count; i++)
            {
                Cut(picture, rows, (first + i) / columns.Count, columns, (first + i) % columns.Count);
                preprocessing.Normalise(_tile.View, values.Slice(i * preprocessing.ValueCount, preprocessing.ValueCount));
            }
            using var outputs = Run(count);
            var levels = outputs[0].GetTensorDataAsSpan<byte>();
            for (var i = 0; i < count; i++)
            {
                var tile = levels.Slice(i * preprocessing.ValueCount, preprocessing.ValueCount);
                Add(tile, rows, (first + i) / columns.Count, columns, (first + i) % columns.Count, picture.Width, sums);
            }
        }
        using var blended = new PixelBuffer();
        var pixels = blended.Reset(picture.Width, picture.Height);
        for (var i = 0; i < picture.Width * picture.Height; i++)
        {
            for (var channel = 0; channel < 3; channel++)
                pixels[(i * PixelView.BytesPerPixel) + channel] = (byte)Math.Clamp((int)(sums[(i * 3) + channel] + 0.5f), 0, 255);
            pixels[(i * PixelView.BytesPerPixel) + 3] = 255;
        }
        ArrayPool<float>.Shared.Return(sums);
        return EnhancedImageColumn.ToImage(blended.View);
    }

    private void Cut(PixelView picture, TileAxis rows, int row, TileAxis columns, int column)
    {
        var tile = _tile.Reset(Width, Height);
        for (var y = 0; y < Height; y++)
        {
            var source = picture.Row(rows.Source(row, y));
            var target = tile.Slice(y * Width * PixelView.BytesPerPixel, Width * PixelView.BytesPerPixel);
            var inside = columns.Weights(column).Length * PixelView.BytesPerPixel;
            source.Slice(columns.Start(column) * PixelView.BytesPerPixel, inside).CopyTo(target);
            for (var x = inside / PixelView.BytesPerPixel; x < Width; x++)
            {
                source.Slice(columns.Source(column, x) * PixelView.BytesPerPixel, PixelView.BytesPerPixel)
                    .CopyTo(target[(x * PixelView.BytesPerPixel)..]);
            }
        }
    }

    private void Add(ReadOnlySpan<byte> tile, TileAxis rows, int row, TileAxis columns, int column, int pictureWidth, Span<float> sums)
    {
        var rowWeights = rows.Weights(row);
        var columnWeights = columns.Weights(column);
        for (var y = 0; y < rowWeights.Length; y++)
        {
            var levels = tile.Slice(y * Width * 3, columnWeights.Length * 3);
            var target = sums.Slice((((rows.Start(row) + y) * pictureWidth) + columns.Start(column)) * 3, levels.Length);
            for (var i = 0; i < levels.Length; i++)
                target[i] += rowWeights[y] * columnWeights[i / 3] * levels[i];
        }
    }

    private Span<float> Values(int count)
    {
        if (_values.Length < count * preprocessing.ValueCount)
            _values = new float[count * preprocessing.ValueCount];
        return _values.AsSpan(0, count * preprocessing.ValueCount);
    }

    private IDisposableReadOnlyCollection<OrtValue> Run(int count)
    {
        using var input = OrtValue.CreateTensorValueFromMemory(
            OrtMemoryInfo.DefaultInstance, _values.AsMemory(0, count * preprocessing.ValueCount), [count, 3, Height, Width]);
        return session.Run(_runOptions, _inputs, [input], [EnhancedImageColumn.ModelOutput], CancellationToken.None);
    }
}
