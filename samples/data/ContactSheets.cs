using SkiaSharp;

namespace Samples.Data;

/// <summary>Cuts sheets of equally large square pictures, one sheet a class, into a folder of picture files a class.</summary>
public static class ContactSheets
{
    /// <summary>
    /// Writes <c>pictures/SPLIT/CLASS/0001.png</c>, <c>0002.png</c>, ... from each <c>sheets/SPLIT/CLASS.png</c>. Classes that are there
    /// already are left alone.
    /// </summary>
    /// <param name="sheets">Folder of the sheets.</param>
    /// <param name="pictures">Folder to write to; made if it is missing.</param>
    /// <param name="side">Height and width of one picture in pixels.</param>
    public static void Unpack(string sheets, string pictures, int side = 28)
    {
        foreach (var sheetPath in Directory.EnumerateFiles(sheets, "*.png", SearchOption.AllDirectories).Order())
        {
            var folder = Path.ChangeExtension(Path.Combine(pictures, Path.GetRelativePath(sheets, sheetPath)), null);
            if (Directory.Exists(folder))
                continue;
            var unfinished = Directory.CreateDirectory($"{folder}.unfinished-{Environment.ProcessId}").FullName;
            using var sheet = SKBitmap.Decode(sheetPath) ?? throw new InvalidDataException($"{sheetPath} is not a picture.");
            var columns = sheet.Width / side;
            for (var i = 0; i < columns * (sheet.Height / side); i++)
            {
                using var picture = new SKBitmap();
                sheet.ExtractSubset(picture, SKRectI.Create(i % columns * side, i / columns * side, side, side));
                using var file = File.Create(Path.Combine(unfinished, $"{i + 1:D4}.png"));
                picture.Encode(file, SKEncodedImageFormat.Png, quality: 100);
            }
            Directory.Move(unfinished, folder);
        }
    }
}
