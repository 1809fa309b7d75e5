using SkiaSharp;

namespace Vision.Tests;

/// <summary>A folder of one-coloured picture files.</summary>
internal sealed class ColourPictures : IDisposable
{
    public static readonly string[] Names = ["red", "green", "blue"];

    public static readonly string[] Files = ["red.png", "green.png", "blue.webp"];

    public ColourPictures()
    {
        Write("red.png", SKColors.Red, SKEncodedImageFormat.Png);
        Write("green.png", new SKColor(0, 255, 0), SKEncodedImageFormat.Png);
        Write("blue.webp", SKColors.Blue, SKEncodedImageFormat.Webp);
        File.WriteAllBytes(PathOf("broken.png"), File.ReadAllBytes(PathOf("red.png"))[..40]);
    }

    public string Folder { get; } = Directory.CreateTempSubdirectory().FullName;

    public string PathOf(string name) => Path.Combine(Folder, name);

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    private void Write(string name, SKColor colour, SKEncodedImageFormat format)
    {
        using var bitmap = new SKBitmap(20, 14);
        bitmap.Erase(colour);
        using var file = File.Create(PathOf(name));
        bitmap.Encode(file, format, 100);
    }
}
