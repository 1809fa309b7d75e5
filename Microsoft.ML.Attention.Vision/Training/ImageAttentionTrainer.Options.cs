using Microsoft.ML.Attention.Onnx.Models;

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

        /// <summary>The architecture; its number of classes is set to the label's.</summary>
        public BiFormerConfig Architecture { get; set; } = BiFormer.Variants["biformer_tiny"];

        /// <summary>
        /// A checkpoint of the architecture (.safetensors) to start from; its classification head is replaced. Null to start from random
        /// weights.
        /// </summary>
        public string? PretrainedWeights { get; set; }

        /// <summary>How pictures become the model's input, in training and afterwards.</summary>
        public ImagePreprocessing Preprocessing { get; set; } = ImagePreprocessing.ImageNet();

        /// <summary>Random changes of the training pictures.</summary>
        public ImageAugmentation Augmentation { get; set; } = ImageAugmentation.Flip;

        /// <summary>How often the model sees each picture.</summary>
        public int EpochCount { get; set; } = 30;

        /// <summary>Pictures an optimiser step; no more than there are.</summary>
        public int BatchSize { get; set; } = 64;

        /// <summary>The highest learning rate of AdamW, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
        public float LearningRate { get; set; } = 1e-3f;

        /// <summary>The share of the steps in which the learning rate rises from 0, in [0, 1).</summary>
        public float WarmUp { get; set; } = 0.1f;

        /// <summary>How much of each weight AdamW takes away a step, times the learning rate. Biases and norms are spared.</summary>
        public float WeightDecay { get; set; } = 0.05f;

        /// <summary>The share of the target probability that is spread over all classes, in [0, 1).</summary>
        public float LabelSmoothing { get; set; } = 0.1f;

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 1;

        /// <summary>
        /// How much an exponential moving average of the weights keeps a step, such as 0.999; the average becomes the model. Null for the
        /// last step's weights.
        /// </summary>
        public float? WeightAveraging { get; set; }

        /// <summary>The share of each class that is kept out of the training to measure accuracy after each epoch, in [0, 1).</summary>
        public double ValidationFraction { get; set; }

        /// <summary>Tells weights, order and augmentation; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <summary>Where the model is trained, and how the trained classifier batches its rows.</summary>
        public ScoringOptions Scoring { get; set; } = new();

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<EpochSummary>? Progress { get; set; }

        /// <summary>Ends the training with an <see cref="OperationCanceledException"/> after the step at hand.</summary>
        public CancellationToken Cancellation { get; set; }

        internal ImageSource Images => new(ImageColumnName, ImageFolder, Preprocessing);

        internal void Validate()
        {
            Preprocessing.Validate();
            Augmentation.Validate();
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(WarmUp is >= 0 and < 1, nameof(WarmUp), WarmUp, "in [0, 1)");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(LabelSmoothing is >= 0 and < 1, nameof(LabelSmoothing), LabelSmoothing, "in [0, 1)");
            Check(MaxGradientNorm is null or > 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");
            Check(WeightAveraging is null or (> 0 and < 1), nameof(WeightAveraging), WeightAveraging, "between 0 and 1, or null");
            Check(ValidationFraction is >= 0 and < 1, nameof(ValidationFraction), ValidationFraction, "in [0, 1)");

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
