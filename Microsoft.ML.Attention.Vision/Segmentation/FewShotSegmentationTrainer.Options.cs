using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

public sealed partial class FewShotSegmentationTrainer
{
    /// <summary>Options for <see cref="FewShotSegmentationTrainer"/>.</summary>
    public sealed class Options
    {
        /// <summary>The column of pictures: paths of files (text), contents of files (vectors of bytes) or <see cref="MLImage"/>s.</summary>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>
        /// The column of labels, pictures of the same size in any of these forms: the level of a pixel is its class, 0 for the background
        /// and 255 for pixels that are not to count. Grey pictures, that is; indexed ones as those of PASCAL VOC have to be made grey first.
        /// </summary>
        public string MaskColumnName { get; set; } = "Mask";

        /// <summary>What paths in the columns are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>
        /// The levels of the classes to train, null for all that there are. Pictures with objects of other classes are left out, so that
        /// what is to be measured on these has never been seen.
        /// </summary>
        public IReadOnlyList<int>? Classes { get; set; }

        /// <summary>The pixels that a class has to cover in a picture to be asked for there; 2,048 in the published training.</summary>
        public int LeastObjectArea { get; set; } = 2048;

        /// <summary>
        /// The architecture, with the number of supports of an episode (<see cref="SccanConfig.ShotCount"/>). Whether its backbone is
        /// trained too is <see cref="SccanConfig.IsBackboneFrozen"/>.
        /// </summary>
        public SccanConfig Architecture { get; set; } = Sccan.Variants["sccan_resnet50"];

        /// <summary>
        /// A checkpoint (<c>.safetensors</c>, <c>.pth</c>) to start from, of the whole model or of a backbone only, whose names may lack
        /// <c>backbone.body.</c>; what it lacks starts from random weights. Null for random weights, which is no good with a frozen
        /// backbone.
        /// </summary>
        public string? PretrainedWeights { get; set; }

        /// <summary>Random changes of all pictures.</summary>
        public SegmentationAugmentation Augmentation { get; set; } = new();

        /// <summary>The number of epochs.</summary>
        public int EpochCount { get; set; } = 200;

        /// <summary>Episodes of an epoch; null for as many as there are pictures that can be queries.</summary>
        public int? EpisodesPerEpoch { get; set; }

        /// <summary>Episodes an optimiser step.</summary>
        public int BatchSize { get; set; } = 8;

        /// <summary>
        /// The highest learning rate of AdamW, reached after the warm-up; from there it falls to 0 along a cosine.
        /// </summary>
        public float LearningRate { get; set; } = 1e-3f;

        /// <summary>
        /// The highest learning rate of SGD (momentum 0.9, weight decay 1e-4), which then trains all but the attention blocks; it rises and
        /// falls with <see cref="LearningRate"/>, which is left to the attention blocks. As published, but for the schedule, with 0.05 and
        /// 6e-5. Null to train all by AdamW.
        /// </summary>
        public float? SgdLearningRate { get; set; }

        /// <summary>
        /// The weight of a cross-entropy of pixels that is added to Dice's loss, as not published: with Dice's loss alone it takes long until
        /// small objects are told from the background at all. 0 for none.
        /// </summary>
        public float CrossEntropyWeight { get; set; }

        /// <summary>
        /// The weight of a loss by which the backbone learns to tell the classes of the training apart, pixel by pixel, as not published: for
        /// a backbone that starts from random weights, where the published ones know a thousand classes. What it needs besides is not part
        /// of the model. 0 for none.
        /// </summary>
        public float AuxiliaryWeight { get; set; }

        /// <summary>The share of the training in which the learning rate rises from 0, in [0, 1).</summary>
        public float WarmUp { get; set; } = 0.05f;

        /// <summary>How much of each weight is taken away a step, times the learning rate.</summary>
        public float WeightDecay { get; set; } = 0.01f;

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 1;

        /// <summary>
        /// How much an exponential moving average of the weights keeps a step, such as 0.999; the average becomes the model. Null for the
        /// last step's weights.
        /// </summary>
        public float? WeightAveraging { get; set; }

        /// <summary>What the model is computed in while it is trained; <see cref="TrainingPrecision.Mixed"/> is for CUDA.</summary>
        public TrainingPrecision Precision { get; set; }

        /// <summary>
        /// The time that the training may take: the learning rate falls by the clock where that is faster than the epochs, and the training
        /// ends with the time. Such a training does not give the same model twice. Null for no limit.
        /// </summary>
        public TimeSpan? TimeLimit { get; set; }

        /// <summary>Tells weights, episodes and augmentation; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <summary>
        /// A folder of this training, where it is kept at the end of epochs and when it is cancelled. Where one is kept already the training
        /// goes on from there, to the same model bit for bit as if it had not been interrupted. Null for none.
        /// </summary>
        public string? CheckpointFolder { get; set; }

        /// <summary>Epochs from checkpoint to checkpoint.</summary>
        public int CheckpointEpochs { get; set; } = 1;

        /// <summary>Where the model is trained.</summary>
        public OnnxSessionOptions Session { get; set; } = new();

        /// <summary>A PNG file that is drawn anew after each epoch: loss and accuracy so far. Null for none.</summary>
        public string? TracePlot { get; set; }

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<EpochSummary>? Progress { get; set; }

        /// <summary>
        /// Ends the training with an <see cref="OperationCanceledException"/> after the batch at hand; with a
        /// <see cref="CheckpointFolder"/> it can go on later.
        /// </summary>
        public CancellationToken Cancellation { get; set; }

        /// <summary>Told of the number of each batch, so that tests can interrupt at one.</summary>
        internal Action<long>? BatchEnded { get; set; }

        /// <summary>What tells the result of a training, by name.</summary>
        internal Dictionary<string, string> Describe() => new()
        {
            [nameof(Classes)] = Classes is null ? "all" : string.Join(", ", Classes),
            [nameof(LeastObjectArea)] = $"{LeastObjectArea}",
            [nameof(Augmentation)] = $"{Augmentation}",
            [nameof(EpochCount)] = $"{EpochCount}",
            [nameof(EpisodesPerEpoch)] = $"{EpisodesPerEpoch}",
            [nameof(BatchSize)] = $"{BatchSize}",
            [nameof(LearningRate)] = $"{LearningRate:R}",
            [nameof(SgdLearningRate)] = $"{SgdLearningRate:R}",
            [nameof(CrossEntropyWeight)] = $"{CrossEntropyWeight:R}",
            [nameof(AuxiliaryWeight)] = $"{AuxiliaryWeight:R}",
            [nameof(WarmUp)] = $"{WarmUp:R}",
            [nameof(WeightDecay)] = $"{WeightDecay:R}",
            [nameof(MaxGradientNorm)] = $"{MaxGradientNorm:R}",
            [nameof(WeightAveraging)] = $"{WeightAveraging:R}",
            [nameof(Precision)] = $"{Precision}",
        };

        internal void Validate()
        {
            Augmentation.Validate();
            Check(Classes is null or { Count: > 0 }, nameof(Classes), "empty", "null or some classes");
            Check(Classes?.All(label => label is > 0 and < LabelMap.Ignored) != false, nameof(Classes), string.Join(", ", Classes ?? []),
                $"of levels between 1 and {LabelMap.Ignored - 1}");
            Check(LeastObjectArea > 0, nameof(LeastObjectArea), LeastObjectArea, "1 or more");
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(EpisodesPerEpoch is null or > 0, nameof(EpisodesPerEpoch), EpisodesPerEpoch, "1 or more, or null");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(SgdLearningRate is null or > 0, nameof(SgdLearningRate), SgdLearningRate, "positive, or null");
            Check(CrossEntropyWeight >= 0, nameof(CrossEntropyWeight), CrossEntropyWeight, "0 or more");
            Check(AuxiliaryWeight == 0 || (AuxiliaryWeight > 0 && !Architecture.IsBackboneFrozen), nameof(AuxiliaryWeight), AuxiliaryWeight,
                "0, or positive for a backbone that is trained");
            Check(WarmUp is >= 0 and < 1, nameof(WarmUp), WarmUp, "in [0, 1)");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(MaxGradientNorm is null or > 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");
            Check(WeightAveraging is null or (> 0 and < 1), nameof(WeightAveraging), WeightAveraging, "between 0 and 1, or null");
            Check(TimeLimit is null || TimeLimit > TimeSpan.Zero, nameof(TimeLimit), TimeLimit, "positive, or null");
            Check(CheckpointEpochs > 0, nameof(CheckpointEpochs), CheckpointEpochs, "1 or more");

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
