using System.Diagnostics;
using GenerateStory.Reading;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Vision.Plots;

namespace GenerateStory.Training;

/// <summary>
/// Trains the parts of the model one after another, each in its share of the time, and writes what is done as it is done.
/// </summary>
internal sealed class ModelTraining(Recipe recipe, string output, ExecutionProvider provider, Action<string> say)
{
    private readonly MLContext _context = new(seed: 1);
    private readonly OnnxSessionOptions _session = new() { ExecutionProvider = provider };

    private bool IsOnCuda => provider == ExecutionProvider.Cuda;

    private TrainingPrecision Precision => IsOnCuda ? TrainingPrecision.Mixed : TrainingPrecision.Float32;

    /// <summary>Trains the autoencoder.</summary>
    public TrainedAutoencoder TrainAutoencoder(TimeSpan time)
    {
        var trained = new AutoencoderTrainer(_context, new()
        {
            Autoencoder = recipe.Autoencoder,
            BatchSize = recipe.AutoencoderBatch,
            StepCount = 100_000,
            TimeLimit = time,
            LearningRate = 1e-3f,
            WarmUpSteps = 100,
            DivergenceWeight = 3e-4f,
            Precision = Precision,
            Session = _session,
            Seed = 1,
            Progress = new StepLines("autoencoder", say),
        }).Fit(Rows(recipe.PictureCount / 2));
        trained.Save(Path.Combine(output, "autoencoder.safetensors"));
        LossCurve.Save(trained.Trace, Path.Combine(output, "autoencoder.png"));
        return trained;
    }

    /// <summary>Trains text encoder and U-Net.</summary>
    public void TrainUnet(TrainedAutoencoder autoencoder, TimeSpan time)
    {
        var trained = new TextToImageTrainer(_context, new()
        {
            Unet = recipe.Unet,
            TextEncoder = recipe.TextEncoder,
            BatchSize = recipe.UnetBatch,
            StepCount = 100_000,
            TimeLimit = time,
            LearningRate = 8e-4f,
            WarmUpSteps = 200,
            WeightAveraging = 0.998f,
            Precision = Precision,
            Session = _session,
            Seed = 1,
            Progress = new StepLines("U-Net and text encoder", say),
        }).Fit(Rows(recipe.PictureCount), autoencoder);
        trained.Save(Path.Combine(output, "model"));
        LossCurve.Save(trained.Trace, Path.Combine(output, "unet.png"));
    }

    /// <summary>Trains the reader of attributes and measures it.</summary>
    public void TrainReader(TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        var file = Path.Combine(output, "reader.onnx");
        new ReaderTraining(recipe.Side, recipe.ReaderBatch, IsOnCuda ? 0 : null).Run(stepCount: 100_000, time).Save(file);
        say($"reader: trained in {clock.Elapsed.TotalSeconds:0} s");
        using var reader = new AttributeReader(File.ReadAllBytes(file));
        var right = ReaderTraining.Measure(reader, recipe.Side, count: 1000);
        foreach (var (attribute, share) in PictureAttribute.All.Zip(right))
            say($"reader: {attribute.Name} read right in {share:0.0%} of 1,000 drawings of held-back characters");
    }

    private IDataView Rows(int count) => DrawnRow.Load(_context, count, recipe.Side);

    /// <summary>Says a line every few seconds.</summary>
    private sealed class StepLines(string what, Action<string> say) : IProgress<GenerativeStep>
    {
        private const double Interval = 10;

        private double _next, _sum;
        private long _count, _total;

        public void Report(GenerativeStep value)
        {
            _total++;
            if (float.IsFinite(value.Loss))
                (_sum, _count) = (_sum + value.Loss, _count + 1);
            if (value.Elapsed.TotalSeconds < _next)
                return;
            say($"{what}: step {value.Step}, loss {_sum / Math.Max(1, _count):0.0000}, {value.Done:0%} done, "
                + $"{_total / Math.Max(1e-3, value.Elapsed.TotalSeconds):0.0} steps/s");
            (_next, _sum, _count) = (value.Elapsed.TotalSeconds + Interval, 0, 0);
        }
    }
}
