using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Vision;

public sealed partial class ObjectDetectionAttentionTrainer
{
    /// <summary>Options for <see cref="ObjectDetectionAttentionTrainer"/>.</summary>
    public sealed class Options
    {
        /// <inheritdoc cref="ObjectDetectionTransformer.ImageColumnName"/>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the image column are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>The columns that tell the objects.</summary>
        public AnnotationColumns Annotations { get; set; } = new();

        /// <summary>The names of the columns that the detector adds.</summary>
        public DetectionColumns Columns { get; set; } = new();

        /// <summary>The architecture; its number of classes is set to that of the labels.</summary>
        public PlainDetrConfig Architecture { get; set; } = PlainDetr.Variants["plain_detr_nano"];

        /// <summary>
        /// A checkpoint of the architecture to start from; its classifiers are replaced where it has other classes. Null to start from
        /// random weights.
        /// </summary>
        public string? PretrainedWeights { get; set; }

        /// <summary>The classes; null for all that the training labels have, in alphabetical order.</summary>
        public IReadOnlyList<string>? Classes { get; set; }

        /// <summary>
        /// How pictures become the model's input after the training. In it they fill an area of <see cref="TrainingHeight"/> x
        /// <see cref="TrainingWidth"/> as far as <see cref="Augmentation"/> says.
        /// </summary>
        public DetectionPreprocessing Preprocessing { get; set; } = new() { ShorterSide = 384, LongerSide = 640 };

        /// <summary>The height of the pictures with their padding in training, in pixels.</summary>
        public int TrainingHeight { get; set; } = 384;

        /// <summary>The width of the pictures with their padding in training, in pixels.</summary>
        public int TrainingWidth { get; set; } = 512;

        /// <summary>Random changes of the training pictures.</summary>
        public DetectionAugmentation Augmentation { get; set; } = new();

        /// <summary>How often the model sees each picture.</summary>
        public int EpochCount { get; set; } = 50;

        /// <summary>
        /// The time that the training may take: where it is shorter than the epochs would, the learning rate falls faster and the training
        /// ends in time, with another result each time. Null for no limit.
        /// </summary>
        public TimeSpan? TimeLimit { get; set; }

        /// <summary>Pictures an optimiser step; no more than there are.</summary>
        public int BatchSize { get; set; } = 16;

        /// <summary>The highest learning rate, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
        public float LearningRate { get; set; } = 2e-4f;

        /// <summary>The factor on the learning rate of the backbone.</summary>
        public float BackboneLearningRateScale { get; set; } = 1;

        /// <summary>
        /// The factor on the learning rate for each block of the backbone that lies behind, in (0, 1]: 0.9 as published for pre-trained
        /// backbones, 1 for the same rate everywhere.
        /// </summary>
        public float LayerDecay { get; set; } = 1;

        /// <summary>The steps in which the learning rate rises from 0.</summary>
        public int WarmUpSteps { get; set; } = 500;

        /// <summary>How much of each weight is taken away a step, times the learning rate.</summary>
        public float WeightDecay { get; set; } = 0.05f;

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 0.1f;

        /// <summary>
        /// How much an exponential moving average of the weights keeps a step; the average becomes the model. Null for none.
        /// </summary>
        public float? WeightAveraging { get; set; }

        /// <summary>What the model is computed in while it is trained; <see cref="TrainingPrecision.Mixed"/> is for CUDA.</summary>
        public TrainingPrecision Precision { get; set; }

        /// <summary>
        /// Pictures with boxes, in the columns of the training data, to measure the detector on after each epoch; null for none.
        /// </summary>
        public IDataView? ValidationData { get; set; }

        /// <summary>Epochs from one measurement on <see cref="ValidationData"/> to the next; the last epoch is measured in any case.</summary>
        public int ValidationEpochs { get; set; } = 1;

        /// <summary>
        /// Whether the model is that of the epoch with the highest average precision on <see cref="ValidationData"/> rather than of the last.
        /// </summary>
        public bool KeepBest { get; set; }

        /// <summary>How many auxiliary queries each object is matched to.</summary>
        public int CopyCount { get; set; } = 6;

        /// <summary>
        /// The most objects that count in a picture, at most <see cref="PlainDetrConfig.QueryCount"/>; null for as many as the training
        /// data has, as far as the queries go.
        /// </summary>
        public int? LargestObjectCount { get; set; }

        /// <summary>Detections that the model gives for each picture.</summary>
        public int DetectionCount { get; set; } = 100;

        /// <summary>Detections of lower scores are left out.</summary>
        public float LeastScore { get; set; }

        /// <summary>The memory for decoded pictures, in bytes, so that those that fit are not decoded anew in each epoch.</summary>
        public long PictureCacheBytes { get; set; } = 1L << 30;

        /// <summary>Tells weights, order and augmentation; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <summary>Where the model is trained, and how the trained detector batches its rows.</summary>
        public ScoringOptions Scoring { get; set; } = new() { BatchSize = 1 };

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<DetectionEpoch>? Progress { get; set; }

        /// <summary>Ends the training with an <see cref="OperationCanceledException"/> after the step at hand.</summary>
        public CancellationToken Cancellation { get; set; }

        internal DetectionSource Source => new(ImageColumnName, ImageFolder, Preprocessing, Columns, LeastScore);

        internal void Validate()
        {
            Preprocessing.Validate();
            Augmentation.Validate();
            const int LeastSide = DetectionPreprocessing.LeastBatchSide;
            Check(TrainingHeight >= LeastSide, nameof(TrainingHeight), TrainingHeight, $"{LeastSide} or more");
            Check(TrainingWidth >= LeastSide, nameof(TrainingWidth), TrainingWidth, $"{LeastSide} or more");
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(TimeLimit is not { } limit || limit > TimeSpan.Zero, nameof(TimeLimit), TimeLimit, "positive, or null");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(BackboneLearningRateScale > 0, nameof(BackboneLearningRateScale), BackboneLearningRateScale, "positive");
            Check(LayerDecay is > 0 and <= 1, nameof(LayerDecay), LayerDecay, "in (0, 1]");
            Check(WarmUpSteps >= 0, nameof(WarmUpSteps), WarmUpSteps, "0 or more");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(MaxGradientNorm is null or > 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");
            Check(WeightAveraging is null or (> 0 and < 1), nameof(WeightAveraging), WeightAveraging, "between 0 and 1, or null");
            Check(ValidationEpochs > 0, nameof(ValidationEpochs), ValidationEpochs, "1 or more");
            Check(!KeepBest || ValidationData is not null, nameof(KeepBest), KeepBest, $"false without {nameof(ValidationData)}");
            Check(CopyCount > 0, nameof(CopyCount), CopyCount, "1 or more");
            Check(LargestObjectCount is null || (LargestObjectCount > 0 && LargestObjectCount <= Architecture.QueryCount),
                nameof(LargestObjectCount), LargestObjectCount, $"1 to {Architecture.QueryCount}, the number of queries");
            Check(DetectionCount > 0, nameof(DetectionCount), DetectionCount, "1 or more");
            Check(PictureCacheBytes >= 0, nameof(PictureCacheBytes), PictureCacheBytes, "0 or more");

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
