using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Transforms.Image;
using SkiaSharp;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Vision.Tests;

public sealed class LowLightEnhancementTests : IDisposable
{
    private const int Height = 12;
    private const int Width = 16;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    [Theory]
    [InlineData(16, 12)]
    [InlineData(17, 12)]
    [InlineData(61, 40)]
    [InlineData(5, 3)]
    [InlineData(1, 30)]
    public void TilesOfAModelThatChangesNothingGiveThePictureBack(int width, int height)
    {
        Write("a.png", width, height, seed: 1);
        foreach (var (overlap, batchSize) in new[] { (0, 1), (3, 2), (6, 64) })
        {
            var enhancer = Enhancer(LowLightFit.Tiled, options =>
            {
                options.TileOverlap = overlap;
                options.Scoring = options.Scoring with { BatchSize = batchSize };
            });
            using var image = Enhance(enhancer, "a.png").Single()!;
            Assert.Equal((width, height), (image.Width, image.Height));
            Assert.Equal(Rgb("a.png"), Rgb(image));
        }
    }

    [Fact]
    public void PicturesAreResizedAsThePublishedProgramDoesAndRestoredIfWanted()
    {
        Write("a.png", 40, 30, seed: 1);
        Write("b.png", 10, 50, seed: 2);

        var resized = Enhance(Enhancer(LowLightFit.Resized), "a.png", "b.png", "a.png");
        Assert.All(resized, image => Assert.Equal((Width, Height), (image!.Width, image.Height)));
        Assert.Equal(Rgb(Resized("a.png", Width, Height)), Rgb(resized[0]!));
        Assert.Equal(Rgb(Resized("b.png", Width, Height)), Rgb(resized[1]!));
        Assert.Equal(Rgb(resized[0]!), Rgb(resized[2]!));

        var restored = Enhance(Enhancer(LowLightFit.Restored), "a.png", "b.png");
        Assert.Equal([(40, 30), (10, 50)], restored.Select(image => (image!.Width, image.Height)));
        Assert.Equal(Rgb(Resized(Resized("b.png", Width, Height), 10, 50)), Rgb(restored[1]!));
    }

    [Theory]
    [InlineData(LowLightFit.Tiled)]
    [InlineData(LowLightFit.Resized)]
    public void ABadPictureStopsOrIsMissingAsAskedFor(LowLightFit fit)
    {
        Write("a.png", 20, 20, seed: 1);
        File.WriteAllText(Path.Combine(_folder, "bad.png"), "no picture");
        string[] names = ["a.png", "bad.png", "missing.png", "", "a.png"];
        var error = Assert.Throws<InvalidDataException>(() => Enhance(Enhancer(fit), names));
        Assert.StartsWith("row 1: image column 'Image': '", error.Message);

        var lenient = Enhancer(fit, options =>
            options.Scoring = options.Scoring with { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" });
        var enhanced = lenient.Transform(Paths(names));
        Assert.Equal([true, false, false, false, true], enhanced.GetColumn<MLImage?>("Enhanced").Select(image => image is not null));
        Assert.Equal(3, lenient.BadRowCount);
        var errors = enhanced.GetColumn<string>("Error").ToArray();
        Assert.Equal("", errors[0]);
        Assert.Contains("missing.png' is not a decodable image (there is no such file)", errors[2]);
    }

    [Theory]
    [InlineData(LowLightFit.Tiled)]
    [InlineData(LowLightFit.Resized)]
    [InlineData(LowLightFit.Restored)]
    public void SurvivesSaveAndLoadAndEnhancesSinglePictures(LowLightFit fit)
    {
        Write("a.png", 33, 21, seed: 1);
        var saved = Enhancer(fit);
        using var stream = new MemoryStream();
        _ml.Model.Save(saved, Paths().Schema, stream);
        stream.Position = 0;
        var loaded = (LowLightEnhancementTransformer)new MLContext().Model.Load(stream, out _);

        Assert.Equal((fit, "Enhanced", "Image", (Height, Width)), (loaded.Fit, loaded.OutputColumnName, loaded.ImageColumnName, loaded.ModelSize));
        using var single = fit == LowLightFit.Resized
            ? Predict<EnhancedRow>(loaded).Enhanced!
            : Predict<EnhancedRowOfAnySize>(loaded).Enhanced!;
        using var batched = Enhance(saved, "a.png").Single()!;
        Assert.Equal(Rgb(batched), Rgb(single));
    }

    [Theory]
    [InlineData(LowLightFit.Tiled)]
    [InlineData(LowLightFit.Resized)]
    public void NoRowsGiveNoRows(LowLightFit fit) => Assert.Empty(Enhance(Enhancer(fit)));

    [Fact]
    public void MLImagesAndContentsAreTakenToo()
    {
        Write("a.png", 21, 15, seed: 1);
        var images = _ml.Transforms.LoadImages("Image", _folder, "Image").Fit(Paths()).Transform(Paths("a.png", "a.png"));
        foreach (var image in Enhancer(LowLightFit.Tiled).Transform(images).GetColumn<MLImage>("Enhanced"))
            Assert.Equal(Rgb("a.png"), Rgb(image));
        var contents = _ml.Data.LoadFromEnumerable([new ContentRow { Image = File.ReadAllBytes(Path.Combine(_folder, "a.png")) }]);
        Assert.Equal(Rgb("a.png"), Rgb(Enhancer(LowLightFit.Tiled).Transform(contents).GetColumn<MLImage>("Enhanced").Single()));
    }

    [Fact]
    public void OptionsThatDoNotFitAreRefused()
    {
        Assert.Contains("A tile overlap of 7 pixels is not between 0 and 6", Message(options => options.TileOverlap = 7));
        var graph = new GraphBuilder();
        graph.Output("image", graph.Input("x", TensorElementType.Float, ["N", 3, "H", "W"]));
        Assert.Contains("does not enhance pictures", Message(options => options.Model = graph.ToModel().ToBytes()));
        Assert.Contains("give one of ModelFile and Model", Message(options => options.ModelFile = "model.onnx"));

        string Message(Action<LowLightEnhancementEstimator.Options> change) =>
            Assert.ThrowsAny<ArgumentException>(() => Enhancer(LowLightFit.Tiled, change)).Message;
    }

    private static T Predict<T>(LowLightEnhancementTransformer enhancer)
        where T : class, new()
    {
        using var engine = new MLContext().Model.CreatePredictionEngine<PathRow, T>(enhancer);
        return engine.Predict(new() { Image = "a.png" });
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private LowLightEnhancementTransformer Enhancer(LowLightFit fit, Action<LowLightEnhancementEstimator.Options>? change = null)
    {
        var options = new LowLightEnhancementEstimator.Options
        {
            Model = Identity(),
            ImageFolder = _folder,
            Fit = fit,
            TileOverlap = 4,
            Scoring = new() { BatchSize = 2, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
        };
        change?.Invoke(options);
        return _ml.Transforms.EnhanceLowLight(options).Fit(Paths());
    }

    private static byte[] Identity()
    {
        var graph = new GraphBuilder();
        var x = graph.Input("x", TensorElementType.Float, ["N", 3, Height, Width]);
        var rgb = (x * graph.Constant(Tensor.Create<float>([0.229f, 0.224f, 0.225f], 3, 1, 1)))
            + graph.Constant(Tensor.Create<float>([0.485f, 0.456f, 0.406f], 3, 1, 1));
        graph.Output("image", ((rgb * 255) + 0.5).Apply("Floor").Transpose(0, 2, 3, 1).Cast(TensorElementType.UInt8));
        return graph.ToModel().ToBytes();
    }

    private MLImage?[] Enhance(ITransformer enhancer, params string[] names) =>
        [.. enhancer.Transform(Paths(names)).GetColumn<MLImage?>("Enhanced")];

    private IDataView Paths(params string[] names) => _ml.Data.LoadFromEnumerable(names.Select(name => new PathRow { Image = name }));

    private void Write(string name, int width, int height, int seed)
    {
        var random = new Random(seed);
        using var bitmap = new SKBitmap(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        for (var i = 0; i < width * height; i++)
            bitmap.SetPixel(i % width, i / width, new SKColor((uint)random.Next() | 0xFF000000));
        using var file = File.Create(Path.Combine(_folder, name));
        bitmap.Encode(file, SKEncodedImageFormat.Png, 100);
    }

    private MLImage Resized(string name, int width, int height)
    {
        using var image = MLImage.CreateFromFile(Path.Combine(_folder, name));
        return Resized(image, width, height);
    }

    private static MLImage Resized(MLImage image, int width, int height)
    {
        using var pixels = new PixelBuffer();
        MLImagePixels.Copy(image, pixels);
        var resized = new byte[width * height * PixelView.BytesPerPixel];
        AntialiasedResize.Resize(pixels.View, width, height, ResampleFilter.Bilinear, new(0, 0, width, height), resized);
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, resized);
    }

    private byte[] Rgb(string name)
    {
        using var image = MLImage.CreateFromFile(Path.Combine(_folder, name));
        return Rgb(image);
    }

    private static byte[] Rgb(MLImage image)
    {
        using var pixels = new PixelBuffer();
        MLImagePixels.Copy(image, pixels);
        var bytes = new byte[image.Width * image.Height * PixelView.BytesPerPixel];
        pixels.View.CopyTo(bytes);
        return [.. bytes.Where((_, i) => i % PixelView.BytesPerPixel < 3)];
    }

    private sealed class PathRow
    {
        public string Image { get; set; } = "";
    }

    private sealed class ContentRow
    {
        public byte[] Image { get; set; } = [];
    }

    private sealed class EnhancedRowOfAnySize
    {
        public MLImage? Enhanced { get; set; }
    }

    private sealed class EnhancedRow
    {
        [ImageType(Height, Width)]
        public MLImage? Enhanced { get; set; }
    }
}
