using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Vision.Plots;

namespace Microsoft.ML.Attention.Vision;

public sealed partial class ImageAttentionTrainer
{
    /// <summary>Options for <see cref="ImageAttentionTrainer"/>.</summary>
    public sealed class Options
    {
        /// <inheritdoc cref="ImageClassificationTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the image column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>The names of the label column, which must be a key, and of the columns that the classifier adds.</summary>
        public ClassifierColumns Columns { get; set; } = new();

        /// <summary>
        /// The architecture, by name with <see cref="ImageClassifiers.Find"/>; its number of classes is set to the label's.
        /// </summary>
        public ImageClassifierConfig Architecture { get; set; } = BiFormer.Variants["biformer_tiny"];

        /// <summary>
        /// A checkpoint of the architecture to start from; its classification head is replaced. Null to start from random weights.
        /// </summary>
        public string? PretrainedWeights { get; set; }

        /// <summary>
        /// Any ONNX classifier of one input <c>[N, 3, H, W]</c> and one output of logits or probabilities, to start from instead of
        /// <see cref="Architecture"/>; its last layer is replaced (<see cref="ClassifierHead"/>).
        /// </summary>
        public string? ModelFile { get; set; }

        /// <summary>
        /// How pictures become the model's input, in training and afterwards; null for what the architecture was published with, or
        /// <see cref="ImagePreprocessing.ImageNet"/> in the size that a model file takes.
        /// </summary>
        public ImagePreprocessing? Preprocessing { get; set; }

        /// <summary>Random changes of the training pictures.</summary>
        public ImageAugmentation Augmentation { get; set; } = ImageAugmentation.Flip;

        /// <summary>Mixup and CutMix of the training pictures; null for none.</summary>
        public Mixing? Mixing { get; set; }

        /// <summary>How often the model sees each picture, at most.</summary>
        public int EpochCount { get; set; } = 30;

        /// <summary>Pictures that go through the model at once; no more than there are for a step.</summary>
        public int BatchSize { get; set; } = 64;

        /// <summary>
        /// Batches whose gradients make an optimiser step, so that a step can have more pictures than fit the memory at once: two batches of
        /// 8 do what one of 16 would, up to rounding, but that batch normalisation and <see cref="Mixing"/> see 8 pictures.
        /// </summary>
        public int AccumulationSteps { get; set; } = 1;

        /// <summary>
        /// The update rule, <see cref="AdamW"/> or <see cref="Sgd"/>. Weight decay, clipping, averaging and the scale of the learning
        /// rate are those of these options.
        /// </summary>
        public Optimizer Optimizer { get; set; } = new AdamW();

        /// <summary>What the model is computed in while it is trained; <see cref="TrainingPrecision.Mixed"/> is for CUDA.</summary>
        public TrainingPrecision Precision { get; set; }

        /// <summary>The highest learning rate, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
        public float LearningRate { get; set; } = 1e-3f;

        /// <summary>The share of the steps in which the learning rate rises from 0, in [0, 1).</summary>
        public float WarmUp { get; set; } = 0.1f;

        /// <summary>
        /// The factor on the learning rate for each step of depth away from the head, in (0, 1]; 1 for the same rate everywhere. Fine-tuned
        /// transformers mostly have 0.65 to 0.9.
        /// </summary>
        public float LayerDecay { get; set; } = 1;

        /// <summary>
        /// How much of each weight is taken away a step, times the learning rate. Biases, norms and what the architecture names are spared.
        /// </summary>
        public float WeightDecay { get; set; } = 0.05f;

        /// <summary>
        /// Patterns (<c>*</c>, <c>?</c>) of the names of parameters that keep their values, such as <c>stages.0.*</c>; <c>*</c> with
        /// <see cref="Unfreeze"/> trains a few only.
        /// </summary>
        public IReadOnlyList<string> Freeze { get; set; } = [];

        /// <summary>Patterns of the names of parameters that are trained although <see cref="Freeze"/> matches them.</summary>
        public IReadOnlyList<string> Unfreeze { get; set; } = [];

        /// <summary>Whether batch normalisations keep the running statistics that they start with.</summary>
        public bool FreezeBatchNormalization { get; set; }

        /// <summary>The share of the target probability that is spread over all classes, in [0, 1).</summary>
        public float LabelSmoothing { get; set; } = 0.1f;

        /// <summary>How much the pictures of each class count; null for all the same.</summary>
        public ClassWeights? ClassWeights { get; set; }

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 1;

        /// <summary>
        /// How much an exponential moving average of the weights keeps a step, such as 0.999; the average becomes the model. Null for the
        /// last step's weights.
        /// </summary>
        public float? WeightAveraging { get; set; }

        /// <summary>The share of each class that is kept out of the training to measure on after each epoch, in [0, 1).</summary>
        public double ValidationFraction { get; set; }

        /// <summary>By what epochs are compared in <see cref="KeepBest"/> and <see cref="Patience"/>.</summary>
        public ValidationMetric ValidationMetric { get; set; }

        /// <summary>
        /// Whether the model is that of the best epoch on the validation pictures rather than of the last; always so with
        /// <see cref="Patience"/>.
        /// </summary>
        public bool KeepBest { get; set; }

        /// <summary>
        /// Early stopping: so many epochs without a better one end the training, and the best one's model is kept. Null for never.
        /// </summary>
        public int? Patience { get; set; }

        /// <summary>
        /// A folder of this training, where it is kept from time to time and when it is cancelled. Where one is kept already the training
        /// goes on from there, to the same model bit for bit as if it had not been interrupted. Null for none.
        /// </summary>
        public string? CheckpointFolder { get; set; }

        /// <summary>Epochs from checkpoint to checkpoint.</summary>
        public int CheckpointEpochs { get; set; } = 1;

        /// <summary>The time after which a checkpoint is written within an epoch, too; null for at the end of epochs only.</summary>
        public TimeSpan? CheckpointInterval { get; set; }

        /// <summary>
        /// The memory for decoded pictures, in bytes, so that those that fit are not decoded anew in each epoch. Where
        /// <see cref="ImageAugmentation.CropArea"/> is null they are kept in the model's size, else in their own.
        /// </summary>
        public long PictureCacheBytes { get; set; } = 1L << 30;

        /// <summary>Tells weights, order and augmentation; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <summary>Where the model is trained, and how the trained classifier batches its rows.</summary>
        public ScoringOptions Scoring { get; set; } = new();

        /// <summary>A PNG file that is drawn anew after each epoch: loss and accuracy so far (<see cref="LossCurve"/>). Null for none.</summary>
        public string? TracePlot { get; set; }

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<EpochSummary>? Progress { get; set; }

        /// <summary>
        /// Asked at the end of each epoch whether the training shall stop here and give its model, such as in a search; with a
        /// <see cref="CheckpointFolder"/> the next one goes on from here.
        /// </summary>
        public Func<EpochSummary, bool>? StopWhen { get; set; }

        /// <summary>
        /// Ends the training with an <see cref="OperationCanceledException"/> after the batch at hand; with a
        /// <see cref="CheckpointFolder"/> it can go on later. A program that is to end so on Ctrl-C cancels in
        /// <see cref="Console.CancelKeyPress"/>, one that a scheduler may stop in a <c>PosixSignalRegistration</c> of SIGTERM.
        /// </summary>
        public CancellationToken Cancellation { get; set; }

        /// <summary>Told of the number of each batch, so that tests can interrupt at one.</summary>
        internal Action<long>? BatchEnded { get; set; }

        internal bool KeepsBest => KeepBest || Patience is not null;

        /// <summary>What tells the result of a training, by name.</summary>
        internal Dictionary<string, string> Describe() => new()
        {
            [nameof(Augmentation)] = $"{Augmentation}",
            [nameof(Mixing)] = $"{Mixing}",
            [nameof(EpochCount)] = $"{EpochCount}",
            [nameof(BatchSize)] = $"{BatchSize}",
            [nameof(AccumulationSteps)] = $"{AccumulationSteps}",
            [nameof(Precision)] = $"{Precision}",
            [nameof(Optimizer)] = $"{Optimizer}",
            [nameof(LearningRate)] = $"{LearningRate:R}",
            [nameof(WarmUp)] = $"{WarmUp:R}",
            [nameof(LayerDecay)] = $"{LayerDecay:R}",
            [nameof(WeightDecay)] = $"{WeightDecay:R}",
            [nameof(Freeze)] = string.Join(", ", Freeze),
            [nameof(Unfreeze)] = string.Join(", ", Unfreeze),
            [nameof(FreezeBatchNormalization)] = $"{FreezeBatchNormalization}",
            [nameof(LabelSmoothing)] = $"{LabelSmoothing:R}",
            [nameof(ClassWeights)] = $"{ClassWeights}",
            [nameof(MaxGradientNorm)] = $"{MaxGradientNorm:R}",
            [nameof(WeightAveraging)] = $"{WeightAveraging:R}",
            [nameof(ValidationMetric)] = $"{ValidationMetric}",
            [nameof(KeepBest)] = $"{KeepBest}",
            [nameof(Patience)] = $"{Patience}",
        };

        internal ImageSource Images(ImagePreprocessing preprocessing) => new(ImageColumnName, ImageFolder, preprocessing);

        internal void Validate()
        {
            Preprocessing?.Validate();
            Augmentation.Validate();
            Mixing?.Validate();
            Check(ModelFile is null || PretrainedWeights is null, nameof(PretrainedWeights), PretrainedWeights,
                $"null with a {nameof(ModelFile)}");
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(AccumulationSteps > 0, nameof(AccumulationSteps), AccumulationSteps, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(WarmUp is >= 0 and < 1, nameof(WarmUp), WarmUp, "in [0, 1)");
            Check(LayerDecay is > 0 and <= 1, nameof(LayerDecay), LayerDecay, "in (0, 1]");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(LabelSmoothing is >= 0 and < 1, nameof(LabelSmoothing), LabelSmoothing, "in [0, 1)");
            Check(MaxGradientNorm is null or > 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");
            Check(WeightAveraging is null or (> 0 and < 1), nameof(WeightAveraging), WeightAveraging, "between 0 and 1, or null");
            Check(ValidationFraction is >= 0 and < 1, nameof(ValidationFraction), ValidationFraction, "in [0, 1)");
            Check(Patience is null or > 0, nameof(Patience), Patience, "1 or more, or null");
            Check(CheckpointEpochs > 0, nameof(CheckpointEpochs), CheckpointEpochs, "1 or more");
            Check(CheckpointInterval is not { } interval || interval > TimeSpan.Zero, nameof(CheckpointInterval), CheckpointInterval,
                "positive, or null");
            Check(PictureCacheBytes >= 0, nameof(PictureCacheBytes), PictureCacheBytes, "0 or more");

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
