using Microsoft.ML.Attention.Vision.Pixels;

namespace Vision.Tests;

public sealed class ImageFileTests : IDisposable
{
    private readonly PixelBuffer _picture = new();

    public static TheoryData<string, int, int, string> PillowPictures()
    {
        var cases = new TheoryData<string, int, int, string>();
        foreach (var line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Expected", "pictures.tsv")))
        {
            var cells = line.Split('\t');
            cases.Add(cells[0], int.Parse(cells[1]), int.Parse(cells[2]), cells[3]);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(PillowPictures))]
    public void ReadsWhatPillowReads(string name, int width, int height, string expected)
    {
        Assert.True(ImageFile.TryRead(PicturePath(name), _picture, out var reason), reason);

        Assert.Equal((width, height), (_picture.Width, _picture.Height));
        var differences = Rgb(_picture).Zip(Convert.FromBase64String(expected), (a, e) => Math.Abs(a - e)).Max();
        Assert.Equal(0, differences);
    }

    [Fact]
    public void BadFilesAreAnswersWithAReason()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var whole = File.ReadAllBytes(PicturePath("rgb.jpg"));
            Assert.Equal("the path is empty", ReasonFor(""));
            Assert.Equal("there is no such file", ReasonFor(Path.Combine(folder.FullName, "missing.jpg")));
            Assert.Equal("there is no such file", ReasonFor(Path.Combine(folder.FullName, "no folder", "missing.jpg")));
            Assert.NotEmpty(ReasonFor(folder.FullName));
            Assert.Equal("it is empty", ReasonFor(Written("empty.jpg", [])));
            Assert.Equal("its format is unknown", ReasonFor(Written("text.jpg", "not a picture"u8.ToArray())));
            Assert.Equal("it is cut off", ReasonFor(Written("half.jpg", whole[..(whole.Length - 100)])));
            Assert.NotEmpty(ReasonFor(Written("head.png", File.ReadAllBytes(PicturePath("rgb.png"))[..60])));

            Assert.True(ImageFile.TryRead(Written("whole.jpg", whole), _picture, out _));
        }
        finally
        {
            folder.Delete(recursive: true);
        }

        string Written(string name, byte[] bytes)
        {
            var path = Path.Combine(folder.FullName, name);
            File.WriteAllBytes(path, bytes);
            return path;
        }
    }

    [Fact]
    public void NoCutOrFlippedByteCrashes()
    {
        foreach (var name in (string[])["rgb.jpg", "rgba.png", "palette.gif", "rgb.webp", "rgb.bmp"])
        {
            var bytes = File.ReadAllBytes(PicturePath(name));
            for (var i = 0; i < bytes.Length; i += 5)
            {
                ImageFile.TryDecode(bytes.AsSpan(0, i), _picture, out _);
                bytes[i] ^= 0xA5;
                ImageFile.TryDecode(bytes, _picture, out _);
                bytes[i] ^= 0xA5;
            }
            Assert.True(ImageFile.TryDecode(bytes, _picture, out var reason), reason);
        }
    }

    public void Dispose() => _picture.Dispose();

    private string ReasonFor(string path)
    {
        Assert.False(ImageFile.TryRead(path, _picture, out var reason));
        return reason;
    }

    private static string PicturePath(string name) => Path.Combine(AppContext.BaseDirectory, "Expected", "pictures", name);

    private static byte[] Rgb(PixelBuffer picture)
    {
        var bytes = new List<byte>();
        for (var y = 0; y < picture.Height; y++)
            bytes.AddRange(picture.View.Row(y).ToArray().Where((_, i) => i % PixelView.BytesPerPixel != 3));
        return [.. bytes];
    }
}
