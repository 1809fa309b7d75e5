using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.Attention.Vision.Plots;
using Samples.Data;

namespace FashionMnist;

/// <summary>How all architectures are trained.</summary>
internal sealed record Recipe
{
    public required int EpochCount { get; init; }

    public required int BatchSize { get; init; }

    public required float LearningRate { get; init; }

    public required double Erasing { get; init; }

    public required float DropPathRate { get; init; }

    /// <summary>Of mixup and CutMix, see <see cref="Mixing"/>; 0 for none.</summary>
    public required double MixingProbability { get; init; }

    public required TrainingPrecision Precision { get; init; }

    public required ExecutionProvider Provider { get; init; }

    public required int Seed { get; init; }

    /// <summary>The folder for models, cards, curves and checkpoints.</summary>
    public required string Output { get; init; }

    public CancellationToken Cancellation { get; init; }

    /// <summary>The recipe in words.</summary>
    public string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"{EpochCount} epochs of {BatchSize} pictures a step, AdamW with a learning rate of {LearningRate} that falls along a cosine, "
        + $"weight decay 0.05, label smoothing 0.1, weights averaged; pictures mirrored, moved by up to 2 pixels, erased in part with "
        + $"probability {Erasing}, mixed with probability {MixingProbability}; drop path {DropPathRate}; {Precision}; seed {Seed}");
}

/// <summary>Trains architectures on one data set and saves what comes out.</summary>
internal sealed class Training(DataSet data, Recipe recipe)
{
    private readonly MLContext _context = new(recipe.Seed);

    /// <summary>Trains, tests and saves one architecture.</summary>
    public (ModelCard Card, EpochSummary Last) Run(string architecture)
    {
        Console.WriteLine(architecture);
        var (train, validation, test) = (View(data.Train), View(data.Validation), View(data.Test));
        var labels = _context.Transforms.Conversion.MapValueToKey(nameof(LabelledPicture.Label)).Fit(train);
        var folder = Directory.CreateDirectory(Path.Combine(recipe.Output, architecture)).FullName;
        var trainer = _context.MulticlassClassification.Trainers.ImageAttention(Options(architecture, folder));
        var classifier = trainer.Fit(labels.Transform(train), labels.Transform(validation));
        // It is to run anywhere, not where it was trained.
        var model = labels.Append(classifier).WithScoringOptions(scoring => scoring with { BatchSize = 64, Session = new() });

        _context.Model.Save(model, train.Schema, Path.Combine(folder, "model.zip"));
        LossCurve.Save(classifier.Trace!, Path.Combine(folder, "training.png"));
        var card = Card(architecture, classifier.Trace!, Accuracy(validation), Accuracy(test));
        card.Save(Path.Combine(folder, "card.json"));
        return (card, classifier.Trace!.Epochs[^1]);

        double Accuracy(IDataView pictures) =>
            _context.MulticlassClassification.Evaluate(model.Transform(pictures)).MicroAccuracy;
    }

    private IDataView View(IReadOnlyList<LabelledPicture> pictures) => _context.Data.LoadFromEnumerable(pictures);

    private ImageAttentionTrainer.Options Options(string architecture, string folder) => new()
    {
        ImageColumnName = nameof(LabelledPicture.Image),
        Architecture = ImageClassifiers.Find(architecture) with { DropPathRate = recipe.DropPathRate },
        Preprocessing = ImagePreprocessing.Stretch(28, 28) with { Mean = Grey(0.286f), StandardDeviation = Grey(0.353f) },
        Augmentation = ImageAugmentation.Flip with { CropPadding = 2, Erasing = recipe.Erasing },
        Mixing = recipe.MixingProbability > 0 ? Mixing.Usual with { Probability = recipe.MixingProbability } : null,
        Precision = recipe.Precision,
        EpochCount = recipe.EpochCount,
        BatchSize = recipe.BatchSize,
        LearningRate = recipe.LearningRate,
        WeightAveraging = 0.999f,
        KeepBest = true,
        CheckpointFolder = Path.Combine(folder, "checkpoint"),
        Seed = recipe.Seed,
        Scoring = new() { BatchSize = 500, Session = new() { ExecutionProvider = recipe.Provider } },
        Progress = new EpochLines(Console.WriteLine),
        Cancellation = recipe.Cancellation,
    };

    private ModelCard Card(string architecture, TrainingTrace trace, double validation, double test) => new()
    {
        Architecture = architecture,
        ParameterCount = ParameterCount(architecture),
        Data = $"Fashion-MNIST (MIT): {data.Train.Count:N0} pictures to train, {data.Validation.Count:N0} to choose the epoch, "
            + $"{data.Test.Count:N0} to test; 28 x 28 pixels, grey, ten kinds of clothing",
        ValidationAccuracy = validation,
        TestAccuracy = test,
        Training = $"samples/FashionMnist {string.Join(' ', Environment.GetCommandLineArgs().Skip(1))}; from random weights; "
            + $"{recipe.Describe()}; weights of epoch {trace.BestEpoch ?? trace.Epochs.Count}",
        Hardware = $"{trace.Epochs[^1].Elapsed.TotalSeconds:F0} s on {recipe.Provider}",
        Licence = "MIT, like this repository; the data is Zalando SE's, MIT",
        Limits = "Knows nothing but centred product photos on black in ten classes; not calibrated; not tested on photographs",
        Date = DateOnly.FromDateTime(DateTime.UtcNow),
    };

    private static long ParameterCount(string architecture) => ModelDescription.Of(
        (ImageClassifiers.Find(architecture) with { ClassCount = LabelledPicture.Classes.Count }).Build(new RandomWeights(seed: 1), 28, 28))
        .ParameterCount;

    private static RgbValues Grey(float level) => new(level, level, level);
}
