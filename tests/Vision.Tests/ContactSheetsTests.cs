using System.IO.Compression;
using Microsoft.ML.Attention.Vision.Pixels;
using Samples.Data;

namespace Vision.Tests;

public sealed class ContactSheetsTests
{
    private static readonly string[] Classes =
        ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

    [Fact]
    public void UnpacksTheFashionMnistSubsetOnce()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var sheets = Path.Combine(AppContext.BaseDirectory, "fashion-mnist");
            ContactSheets.Unpack(sheets, folder.FullName);
            var marker = Path.Combine(folder.FullName, "test", "bag", "0001.png");
            var written = File.GetLastWriteTimeUtc(marker);
            ContactSheets.Unpack(sheets, folder.FullName);

            Assert.Equal(written, File.GetLastWriteTimeUtc(marker));
            foreach (var (split, count) in new[] { ("train", 400), ("test", 100) })
            {
                var classes = Directory.GetDirectories(Path.Combine(folder.FullName, split));
                Assert.Equal(Classes.Order(), classes.Select(Path.GetFileName).Order());
                Assert.All(classes, pictures => Assert.Equal(count, Directory.GetFiles(pictures).Length));
            }
            AssertSamePixelsAsDebian(folder.FullName);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Where the package is installed, the whole test split is compared with it.</summary>
    private static void AssertSamePixelsAsDebian(string folder)
    {
        const string Source = "/usr/share/datasets/fashion-mnist/t10k-";
        if (!File.Exists(Source + "images-idx3-ubyte.gz"))
            return;
        byte[] pixels = Unzipped(Source + "images-idx3-ubyte.gz")[16..], labels = Unzipped(Source + "labels-idx1-ubyte.gz")[8..];
        using var picture = new PixelBuffer();
        var seen = new int[Classes.Length];
        for (var i = 0; i < labels.Length; i++)
        {
            var number = ++seen[labels[i]];
            if (number > 100)
                continue;
            var path = Path.Combine(folder, "test", Classes[labels[i]], $"{number:D4}.png");
            Assert.True(ImageFile.TryRead(path, picture, out var reason), reason);
            var grey = Enumerable.Range(0, 28 * 28).Select(p => picture.View.Row(p / 28)[p % 28 * PixelView.BytesPerPixel]);
            Assert.Equal(pixels.Skip(i * 28 * 28).Take(28 * 28), grey);
        }
    }

    private static byte[] Unzipped(string path)
    {
        using var unzipped = new MemoryStream();
        using (var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress))
            file.CopyTo(unzipped);
        return unzipped.ToArray();
    }
}
