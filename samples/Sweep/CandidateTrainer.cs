using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;

namespace Sweep;

/// <summary>Trains pipelines of candidates on pictures.</summary>
internal sealed class CandidateTrainer(MLContext context, IDataView pictures, SweepOptions options)
{
    /// <summary>Trains on all folds but one and measures on that one, for each fold.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public Trial CrossValidate(Candidate candidate, int epochs, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            var folds = context.MulticlassClassification.CrossValidate(
                pictures, Pipeline(candidate, epochs, cancellation), options.Folds, nameof(PictureFile.Label), seed: options.Seed);
            foreach (var fold in folds)
                (fold.Model as IDisposable)?.Dispose();
            return new(candidate, epochs, [.. folds.Select(fold => fold.Metrics.MicroAccuracy)], clock.Elapsed);
        }
        catch (InvalidOperationException error)
        {
            // A loss that runs away, mostly: the end of this candidate, not of the sweep.
            return new(candidate, epochs, [], clock.Elapsed) { Failure = error.Message };
        }
    }

    /// <summary>Trains on all pictures.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public ITransformer Fit(Candidate candidate, int epochs, CancellationToken cancellation) =>
        Pipeline(candidate, epochs, cancellation).Fit(pictures);

    private IEstimator<ITransformer> Pipeline(Candidate candidate, int epochs, CancellationToken cancellation) =>
        context.Transforms.Conversion.MapValueToKey(nameof(PictureFile.Label))
            .Append(context.MulticlassClassification.Trainers.ImageAttention(new ImageAttentionTrainer.Options
            {
                ImageColumnName = nameof(PictureFile.Image),
                Architecture = ImageClassifiers.Find(candidate.Architecture),
                Preprocessing = ImagePreprocessing.Stretch(options.Size, options.Size),
                Augmentation = ImageAugmentation.Flip with { CropPadding = options.Size / 20, Erasing = candidate.Erasing },
                EpochCount = epochs,
                BatchSize = candidate.BatchSize,
                LearningRate = candidate.LearningRate,
                WeightDecay = candidate.WeightDecay,
                LabelSmoothing = candidate.LabelSmoothing,
                Seed = options.Seed,
                Scoring = new() { Session = new() { ExecutionProvider = options.Provider } },
                Cancellation = cancellation,
            }));
}
