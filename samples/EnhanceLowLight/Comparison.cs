using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using SkiaSharp;

namespace EnhanceLowLight;

/// <summary>Ways to enhance side by side: their measures and their pictures.</summary>
internal sealed class Comparison
{
    private const int ShownCount = 5;

    private readonly List<(string Name, double Noise, double Similarity)> _measures = [];
    private readonly List<MLImage[]> _columns = [];

    /// <summary>Measures a way to enhance.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="pictures">What came out.</param>
    /// <param name="normal">What should have come out.</param>
    /// <returns>The mean peak signal-to-noise ratio in decibels.</returns>
    public double Add(string name, IReadOnlyList<MLImage> pictures, IReadOnlyList<MLImage> normal)
    {
        var pairs = pictures.Zip(normal).ToArray();
        _measures.Add((
            name,
            pairs.Average(pair => PictureQuality.PeakSignalToNoiseRatio(pair.First, pair.Second)),
            pairs.Average(pair => PictureQuality.StructuralSimilarity(pair.First, pair.Second))));
        _columns.Add([.. pictures.Take(ShownCount)]);
        return _measures[^1].Noise;
    }

    public IEnumerable<string> Lines => _measures.Select(measure =>
        $"{measure.Name,-24} PSNR {measure.Noise:F2} dB, SSIM {measure.Similarity:F3}");

    /// <summary>A row a picture, a column a way to enhance, the pictures as they should be at the right.</summary>
    public void Save(IReadOnlyList<MLImage> normal, string path)
    {
        MLImage[][] columns = [.. _columns, [.. normal.Take(ShownCount)]];
        var (width, height) = (columns[0].Max(image => image.Width), columns[0].Max(image => image.Height));
        using var sheet = new SKBitmap(columns.Length * (width + 4), columns[0].Length * (height + 4));
        using var canvas = new SKCanvas(sheet);
        canvas.Clear(SKColors.White);
        for (var column = 0; column < columns.Length; column++)
        {
            for (var row = 0; row < columns[column].Length; row++)
            {
                var image = columns[column][row];
                var type = image.PixelFormat == MLPixelFormat.Bgra32 ? SKColorType.Bgra8888 : SKColorType.Rgba8888;
                using var copy = SKImage.FromPixelCopy(new SKImageInfo(image.Width, image.Height, type, SKAlphaType.Opaque), image.Pixels);
                canvas.DrawImage(copy, column * (width + 4), row * (height + 4));
            }
        }
        canvas.Flush();
        using var file = File.Create(path);
        sheet.Encode(file, SKEncodedImageFormat.Png, 100);
    }
}
