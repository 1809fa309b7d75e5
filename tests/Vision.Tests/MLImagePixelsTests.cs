using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Vision.Tests;

public sealed class MLImagePixelsTests
{
    [Theory]
    [InlineData("rgb.png")]
    [InlineData("rgb.jpg")]
    [InlineData("grey.png")]
    [InlineData("palette.gif")]
    public void AnMLImageOfAFileHoldsThePixelsOfTheFile(string name)
    {
        var path = Path.Combine(AppContext.BaseDirectory, "Expected", "pictures", name);
        using var image = MLImage.CreateFromFile(path);
        using PixelBuffer copied = new(), read = new();

        MLImagePixels.Copy(image, copied);
        Assert.True(ImageFile.TryRead(path, read, out var reason), reason);

        Assert.Equal((read.Width, read.Height), (copied.Width, copied.Height));
        for (var y = 0; y < read.Height; y++)
            Assert.Equal(read.View.Row(y), copied.View.Row(y));
    }

    [Fact]
    public void BlueAndRedTradePlacesInBgra()
    {
        using var image = MLImage.CreateFromPixels(1, 1, MLPixelFormat.Bgra32, [10, 20, 30, 255]);
        Assert.Equal([30, 20, 10, 255], Copied(image));
    }

    [Fact]
    public void PremultipliedColoursAreDividedByTheirAlpha()
    {
        using var image = MLImage.CreateFromPixels(3, 1, MLPixelFormat.Rgba32, [10, 64, 128, 128, 0, 0, 0, 0, 9, 1, 0, 9]);
        Assert.Equal([20, 128, 255, 128, 0, 0, 0, 0, 255, 28, 0, 9], Copied(image));
    }

    private static byte[] Copied(MLImage image)
    {
        using var picture = new PixelBuffer();
        MLImagePixels.Copy(image, picture);
        return picture.View.Row(0).ToArray();
    }
}
