using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;
using SkiaSharp;

namespace Vision.Tests.Story;

public sealed class TextToImageTrainerTests : IDisposable
{
    private const int Side = 16;

    private static readonly AutoencoderKlConfig Autoencoder = new()
    {
        BlockOutChannels = [8, 8], NormNumGroups = 4, MidBlockAddAttention = false, LatentChannels = 2,
    };

    private static readonly (string Name, SKColor Colour)[] Colours =
        [("red", SKColors.Red), ("green", SKColors.Lime), ("blue", SKColors.Blue)];

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void AnAutoencoderLearnsToKeepPictures()
    {
        var losses = new Steps();
        var trained = FitAutoencoder(options => (options.StepCount, options.Progress) = (60, losses));
        Assert.Equal(60, trained.Trace.StepLosses.Count);
        Assert.Equal(trained.Trace.StepLosses, losses.Reported.Select(step => step.Loss));
        Assert.Equal((1, 60), (losses.Reported[0].Step, losses.Reported[^1].Step));
        Assert.True(Mean(trained.Trace, last: true) < 0.7 * Mean(trained.Trace, last: false),
            $"{Mean(trained.Trace, last: false)}, then {Mean(trained.Trace, last: true)}");

        var file = Path.Combine(_folder, "autoencoder.safetensors");
        trained.Save(file);
        Assert.Equal(trained.Decoder.ToBytes(), TrainedAutoencoder.Load(file, Autoencoder).Decoder.ToBytes());
    }

    [Fact]
    public void TheNetLearnsToTakeNoiseOff()
    {
        var model = Fit(options => options.StepCount = 80);
        Assert.True(Mean(model.Trace, last: true) < 0.8 * Mean(model.Trace, last: false),
            $"{Mean(model.Trace, last: false)}, then {Mean(model.Trace, last: true)}");
        Assert.Equal((Side / 2, Side), (model.Unet.SampleSize, model.Autoencoder.SampleSize));
        Assert.True(model.Autoencoder.ScalingFactor > 0);

        model.Save(_folder);
        var folder = DiffusionFolder.Open(_folder);
        Assert.Equal(8, folder.ReadTextConfigs()[0].MaxPositionEmbeddings);
        Assert.Equal(model.Autoencoder.ScalingFactor, folder.ReadVaeConfig().ScalingFactor);
        Assert.True(SchedulerConfig.Load(folder.Scheduler).RescaleBetasZeroSnr);
        Assert.Equal(model.Tokenizer.Tokenize("red"), ClipTokenizer.Load(folder.Tokenizers[0]).Tokenize("red"));
    }

    [Fact]
    public void ATrainingThatWasInterruptedGoesOnAsIfItHadNot()
    {
        var whole = Fit(options => options.CheckpointFolder = Path.Combine(_folder, "whole"));
        using var cancellation = new CancellationTokenSource();
        Assert.ThrowsAny<OperationCanceledException>(() => Fit(options =>
        {
            options.CheckpointFolder = Path.Combine(_folder, "parts");
            options.Progress = new Steps { At = (5, cancellation.Cancel) };
            options.Cancellation = cancellation.Token;
        }));
        var rest = new Steps();
        var resumed = Fit(options =>
        {
            options.CheckpointFolder = Path.Combine(_folder, "parts");
            options.Progress = rest;
        });
        Assert.Equal(6, rest.Reported[0].Step);
        Assert.Equal(whole.Trace.StepLosses, resumed.Trace.StepLosses);
    }

    [Fact]
    public void MixedPrecisionLearnsTheSame()
    {
        var single = Fit(options => options.StepCount = 4);
        var mixed = Fit(options => (options.StepCount, options.Precision) = (4, TrainingPrecision.Mixed));
        Assert.All(single.Trace.StepLosses.Zip(mixed.Trace.StepLosses), pair => Assert.Equal(pair.First, pair.Second, 0.02f));
        FitAutoencoder(options => (options.StepCount, options.Precision) = (2, TrainingPrecision.Mixed));
    }

    [Fact]
    public void ALimitOfTimeEndsATraining()
    {
        var trained = FitAutoencoder(options => (options.StepCount, options.TimeLimit) = (1_000_000, TimeSpan.FromSeconds(1)));
        Assert.InRange(trained.Trace.StepLosses.Count, 1, 10_000);
    }

    [Fact]
    public void MistakesAreNamed()
    {
        Assert.Contains("There are no pictures in column 'Image'", Assert.Throws<InvalidOperationException>(
            () => new AutoencoderTrainer(_ml, new()).Fit(_ml.Data.LoadFromEnumerable(Array.Empty<Row>()))).Message);
        Assert.Contains("row 0: the picture has 16 x 16 pixels; both must be multiples of 32", Assert.Throws<InvalidDataException>(
            () => FitAutoencoder(options => options.Autoencoder = Autoencoder with { BlockOutChannels = [8, 8, 8, 8, 8, 8] })).Message);
        Assert.Contains("There is no caption column 'Text'; the data has 'Image', 'Caption'",
            Assert.Throws<InvalidOperationException>(() => Fit(options => options.CaptionColumnName = "Text")).Message);
        Assert.Contains("CaptionDropRate is 1",
            Assert.Throws<ArgumentException>(() => Fit(options => options.CaptionDropRate = 1)).Message);
        Assert.Contains("StepCount is 0", Assert.Throws<ArgumentException>(() => FitAutoencoder(options => options.StepCount = 0)).Message);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private TrainedAutoencoder FitAutoencoder(Action<AutoencoderTrainer.Options> change)
    {
        var options = new AutoencoderTrainer.Options
        {
            Autoencoder = Autoencoder,
            BatchSize = 4,
            LearningRate = 5e-3f,
            WarmUpSteps = 5,
            Seed = 1,
            Session = new() { ExecutionProvider = ExecutionProvider.Cpu },
        };
        change(options);
        return new AutoencoderTrainer(_ml, options).Fit(Rows());
    }

    private TextToImageModel Fit(Action<TextToImageTrainer.Options> change)
    {
        var options = new TextToImageTrainer.Options
        {
            Unet = UNet2DCondition.Variants["sd_nano"] with
            {
                InChannels = 2, OutChannels = 2, BlockOutChannels = [8, 8, 16], NormNumGroups = 4, AttentionHeadDim = [1],
                CrossAttentionDim = 16,
            },
            TextEncoder = ClipTextEncoder.Variants["clip_nano"] with
            {
                HiddenSize = 16, IntermediateSize = 32, NumHiddenLayers = 1, NumAttentionHeads = 1, MaxPositionEmbeddings = 8,
            },
            BatchSize = 4,
            StepCount = 10,
            LearningRate = 5e-3f,
            WarmUpSteps = 5,
            MergeCount = 20,
            Seed = 1,
            Session = new() { ExecutionProvider = ExecutionProvider.Cpu },
        };
        change(options);
        return new TextToImageTrainer(_ml, options).Fit(Rows(), FitAutoencoder(options => options.StepCount = 5));
    }

    private IDataView Rows() => _ml.Data.LoadFromEnumerable(Colours.Select(colour =>
    {
        using var bitmap = new SKBitmap(Side, Side, SKColorType.Rgba8888, SKAlphaType.Opaque);
        bitmap.Erase(colour.Colour);
        return new Row
        {
            Image = MLImage.CreateFromPixels(Side, Side, MLPixelFormat.Rgba32, bitmap.GetPixelSpan()),
            Caption = [colour.Name, $"something {colour.Name}"],
        };
    }));

    private static double Mean(TrainingTrace trace, bool last) =>
        (last ? trace.StepLosses.TakeLast(10) : trace.StepLosses.Take(10)).Average(loss => (double)loss);

    private sealed class Row
    {
        [Microsoft.ML.Transforms.Image.ImageType(Side, Side)]
        public required MLImage Image { get; init; }

        public required string[] Caption { get; init; }
    }

    private sealed class Steps : IProgress<GenerativeStep>
    {
        public List<GenerativeStep> Reported { get; } = [];

        public (long Step, Action Do)? At { get; init; }

        public void Report(GenerativeStep value)
        {
            Reported.Add(value);
            if (value.Step == At?.Step)
                At.Value.Do();
        }
    }
}
