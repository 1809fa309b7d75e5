using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using SkiaSharp;

namespace Vision.Tests;

public sealed class TroubleMakerTrainerTests : IDisposable
{
    private static readonly UgdcConfig Net = new() { StemWidth = 4, Height = 80, Width = 80 };

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    public TroubleMakerTrainerTests()
    {
        for (var i = 0; i < 4; i++)
            Write($"{i}.png", i, SKColors.White);
        for (var i = 0; i < 2; i++)
            Write($"dark{i}.png", i, new SKColor(60, 60, 60));
    }

    [Fact]
    public void LearnsToUndoDimmingFromNormalPicturesOnly()
    {
        var progress = new Recorder();
        var trained = Fit(options =>
        {
            options.Progress = progress;
            options.EpochCount = 30;
        });
        Assert.Equal(30, trained.Trace!.Epochs.Count);
        Assert.Equal(trained.Trace.Epochs, progress.Epochs);
        Assert.Equal(60, progress.Epochs[^1].Steps);
        Assert.StartsWith("predict+enhance, epoch 30: loss ", progress.Epochs[^1].ToString());
        Assert.True(progress.Epochs[^1].Loss < 0.6 * progress.Epochs[0].Loss, $"{progress.Epochs[0]}; {progress.Epochs[^1]}");

        // Larger than the nets' size.
        using var normal = MLImage.CreateFromFile(Path.Combine(_folder, "0.png"));
        using var dark = new Dimming { Exposure = (0.3, 0.3), Gamma = (1.5, 1.5) }.Apply(normal, seed: 7);
        var images = _ml.Data.LoadFromEnumerable([new ImageRow { Image = dark }]);
        using var enhanced = trained.Transform(images).GetColumn<MLImage>("Enhanced").Single();
        Assert.Equal((normal.Width, normal.Height), (enhanced.Width, enhanced.Height));
        var (before, after) =
            (PictureQuality.PeakSignalToNoiseRatio(dark, normal), PictureQuality.PeakSignalToNoiseRatio(enhanced, normal));
        Assert.True(after > before, $"{before} dB before, {after} dB after");
    }

    [Fact]
    public void TheSameSeedGivesTheSameModel()
    {
        var first = Fit(options => options.Seed = 3).ToOnnx();
        Assert.Equal(first, Fit(options => options.Seed = 3).ToOnnx());
        Assert.NotEqual(first, Fit(options => options.Seed = 4).ToOnnx());
    }

    [Fact]
    public void ATroubleMakerNetIsTrainedOnPairsWhereThereAreSome()
    {
        var trained = Fit(options =>
        {
            options.DarkImageColumnName = "Dark";
            options.TroubleMakerEpochCount = 3;
            options.Fit = LowLightFit.Restored;
            options.Predict = Net with { DropPathRate = 0.2f };
        });
        Assert.Equal(
            ["troublemaker 1", "troublemaker 2", "troublemaker 3", "predict+enhance 1", "predict+enhance 2"],
            trained.Trace!.Epochs.Select(epoch => $"{epoch.Nets} {epoch.Epoch}"));
        Assert.Equal([1, 2, 3, 2, 4], trained.Trace.Epochs.Select(epoch => epoch.Steps));
        using var stream = new MemoryStream();
        _ml.Model.Save(trained, Rows().Schema, stream);
        stream.Position = 0;
        var loaded = (LowLightEnhancementTransformer)_ml.Model.Load(stream, out _);
        Assert.Null(loaded.Trace);
        Assert.Equal(4, loaded.Transform(Rows()).GetColumn<MLImage>("Enhanced").Count());
    }

    [Fact]
    public void EndsWhenCancelled()
    {
        using var cancellation = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => Fit(options =>
        {
            options.Progress = new Recorder { Reported = cancellation.Cancel };
            options.Cancellation = cancellation.Token;
            options.EpochCount = 1000;
        }));
    }

    [Fact]
    public void MistakesAreNamed()
    {
        Assert.Contains("There are no pictures in column 'Image'",
            Assert.Throws<InvalidOperationException>(() => Trainer(_ => { }).Fit(_ml.Data.LoadFromEnumerable(Array.Empty<PathRow>()))).Message);
        Assert.Contains("No row has a picture in column 'Dark'", Assert.Throws<InvalidOperationException>(
            () => Trainer(options => options.DarkImageColumnName = "Dark").Fit(_ml.Data.SkipRows(Rows(), 2))).Message);
        File.WriteAllText(Path.Combine(_folder, "3.png"), "no picture");
        Assert.Contains("row 3: image column 'Image': '", Assert.Throws<InvalidDataException>(() => Fit(_ => { })).Message);
        Assert.Contains("Exposure of the dimming is (0.5, 0.2)",
            Assert.Throws<ArgumentException>(() => Trainer(options => options.Dimming = new() { Exposure = (0.5, 0.2) })).Message);
        Assert.Contains("EpochCount is 0", Assert.Throws<ArgumentException>(() => Trainer(options => options.EpochCount = 0)).Message);
    }

    [Fact]
    public void DimmingIsWhatItSaysAndTheSameForTheSameSeed()
    {
        using var grey = MLImage.CreateFromPixels(200, 100, MLPixelFormat.Rgba32, [.. Enumerable.Range(0, 80_000).Select(i => (byte)(i % 4 < 3 ? 128 : 255))]);
        var dimming = new Dimming { Exposure = (0.5, 0.5), Gamma = (2, 2), ReadNoise = 0.02, ShotNoise = 0.001 };
        using var dark = dimming.Apply(grey, seed: 1);
        using var again = dimming.Apply(grey, seed: 1);
        using var other = dimming.Apply(grey, seed: 2);
        Assert.Equal(dark.Pixels.ToArray(), again.Pixels.ToArray());
        Assert.NotEqual(dark.Pixels.ToArray(), other.Pixels.ToArray());
        var levels = dark.Pixels.ToArray().Where((_, i) => i % 4 < 3).Select(level => (double)level).ToArray();
        // 255 * 0.5 * (128 / 255)^2, with the variance 255^2 (0.02^2 + 0.001 * 0.5 * (128 / 255)^2).
        Assert.Equal(32.125, levels.Average(), 0.2);
        Assert.Equal(5.86, Math.Sqrt(levels.Average(level => Math.Pow(level - levels.Average(), 2))), 0.1);
        Assert.All(dark.Pixels.ToArray().Where((_, i) => i % 4 == 3), alpha => Assert.Equal(255, alpha));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private LowLightEnhancementTransformer Fit(Action<TroubleMakerTrainer.Options> change) => Trainer(change).Fit(Rows());

    private TroubleMakerTrainer Trainer(Action<TroubleMakerTrainer.Options> change)
    {
        var options = new TroubleMakerTrainer.Options
        {
            ImageFolder = _folder,
            Predict = Net,
            Enhance = Net,
            EpochCount = 2,
            BatchSize = 2,
            LearningRate = 5e-3f,
            Seed = 1,
            Scoring = new() { BatchSize = 2, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
        };
        change(options);
        return _ml.Transforms.EnhanceLowLight(options);
    }

    private IDataView Rows() => _ml.Data.LoadFromEnumerable(
        Enumerable.Range(0, 4).Select(i => new PathRow { Image = $"{i}.png", Dark = i < 2 ? $"dark{i}.png" : "" }));

    // A few discs of colours, seen in a light of that colour.
    private void Write(string name, int seed, SKColor light)
    {
        var random = new Random(seed);
        using var bitmap = new SKBitmap(120, 90, SKColorType.Rgba8888, SKAlphaType.Opaque);
        using var canvas = new SKCanvas(bitmap);
        canvas.Clear(Colour());
        for (var i = 0; i < 12; i++)
        {
            using var paint = new SKPaint { Color = Colour() };
            canvas.DrawCircle(random.Next(120), random.Next(90), 8 + random.Next(20), paint);
        }
        canvas.Flush();
        using var file = File.Create(Path.Combine(_folder, name));
        bitmap.Encode(file, SKEncodedImageFormat.Png, 100);

        SKColor Colour() => new(
            (byte)(random.Next(256) * light.Red / 255), (byte)(random.Next(256) * light.Green / 255),
            (byte)(random.Next(256) * light.Blue / 255));
    }

    private sealed class Recorder : IProgress<EnhancementEpoch>
    {
        public List<EnhancementEpoch> Epochs { get; } = [];

        public Action? Reported { get; init; }

        public void Report(EnhancementEpoch value)
        {
            Epochs.Add(value);
            Reported?.Invoke();
        }
    }

    private sealed class PathRow
    {
        public string Image { get; set; } = "";

        public string Dark { get; set; } = "";
    }

    private sealed class ImageRow
    {
        [Microsoft.ML.Transforms.Image.ImageType(90, 120)]
        public MLImage? Image { get; set; }
    }
}
