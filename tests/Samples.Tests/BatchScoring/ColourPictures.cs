using SkiaSharp;

namespace Samples.Tests.BatchScoring;

/// <summary>Small pictures of one colour each: what a toy model can tell apart.</summary>
internal static class ColourPictures
{
    public static readonly string[] Names = ["blue", "green", "red"];

    private static readonly SKColor[] Colours = [SKColors.Blue, SKColors.Green, SKColors.Red];

    /// <summary>The colour's name of picture number <paramref name="index"/>.</summary>
    public static string NameOf(int index) => Names[index % Names.Length];

    /// <summary>Writes pictures 0.png, 1.png, ... and returns their paths.</summary>
    public static string[] Write(string folder, int count)
    {
        Directory.CreateDirectory(folder);
        var files = Array.ConvertAll(Colours, Encode);
        var paths = new string[count];
        for (var index = 0; index < count; index++)
        {
            paths[index] = Path.Combine(folder, $"{index:D5}.png");
            File.WriteAllBytes(paths[index], files[index % files.Length]);
        }
        return paths;
    }

    private static byte[] Encode(SKColor colour)
    {
        using var bitmap = new SKBitmap(12, 10);
        bitmap.Erase(colour);
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }
}
