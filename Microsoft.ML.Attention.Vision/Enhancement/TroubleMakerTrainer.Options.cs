using Microsoft.ML.Attention.Onnx.Models;

namespace Microsoft.ML.Attention.Vision;

public sealed partial class TroubleMakerTrainer
{
    /// <summary>Options for <see cref="TroubleMakerTrainer"/>.</summary>
    public sealed class Options
    {
        /// <summary>
        /// The column of pictures in normal light: paths of files (text), contents of files (vectors of bytes) or MLImages. The fitted
        /// transformer enhances the pictures of this column.
        /// </summary>
        public string ImageColumnName { get; set; } = "Image";

        /// <summary>What paths in the columns are relative to; null for the current folder.</summary>
        public string? ImageFolder { get; set; }

        /// <summary>
        /// A column of the same pictures in low light, where there are some: from them the troublemaker net learns to darken all others.
        /// Rows without one have an empty path or content. Null to darken by <see cref="Dimming"/>.
        /// </summary>
        public string? DarkImageColumnName { get; set; }

        /// <summary>How pictures are darkened where no pairs are given.</summary>
        public Dimming Dimming { get; set; } = new();

        /// <inheritdoc cref="LowLightEnhancementTransformer.OutputColumnName"/>
        public string OutputColumnName { get; set; } = "Enhanced";

        /// <summary>
        /// How pictures of any size go through the nets. With <see cref="LowLightFit.Tiled"/> they are trained on random tiles of the
        /// pictures, else on whole pictures, stretched.
        /// </summary>
        public LowLightFit Fit { get; set; } = LowLightFit.Tiled;

        /// <inheritdoc cref="LowLightEnhancementEstimator.Options.TileOverlap"/>
        public int TileOverlap { get; set; } = 32;

        /// <summary>
        /// The net that predicts a coarse picture, and the troublemaker, which is of the same kind. Its size is that of the tiles or of
        /// the stretched pictures.
        /// </summary>
        public UgdcConfig Predict { get; set; } = Ugdc.Variants["ugdc"] with { DropPathRate = 0.2f };

        /// <summary>The net that predicts the error of the coarse picture; of the same size.</summary>
        public UgdcConfig Enhance { get; set; } = Ugdc.Variants["ugdc_enhance"] with { DropPathRate = 0.2f };

        /// <summary>How often the troublemaker sees each pair.</summary>
        public int TroubleMakerEpochCount { get; set; } = 200;

        /// <summary>How often the two nets see each picture, or a tile of it.</summary>
        public int EpochCount { get; set; } = 200;

        /// <summary>Pictures an optimiser step; no more than there are.</summary>
        public int BatchSize { get; set; } = 8;

        /// <summary>The highest learning rate of AdamW, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
        public float LearningRate { get; set; } = 2e-4f;

        /// <summary>The share of the steps in which the learning rate rises from 0, in [0, 1).</summary>
        public float WarmUp { get; set; } = 0.02f;

        /// <summary>How much of each weight is taken away a step, times the learning rate.</summary>
        public float WeightDecay { get; set; } = 1e-4f;

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 1;

        /// <summary>Tells weights, order, tiles and dimming; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <inheritdoc cref="LowLightEnhancementEstimator.Options.Scoring"/>
        public ScoringOptions Scoring { get; set; } = new() { BatchSize = 4 };

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<EnhancementEpoch>? Progress { get; set; }

        /// <summary>Ends the training with an <see cref="OperationCanceledException"/> after the step at hand.</summary>
        public CancellationToken Cancellation { get; set; }

        internal ImagePreprocessing Preprocessing => LowLightEnhancementEstimator.Preprocessing(Predict.Height, Predict.Width);

        internal ImageSource Images => new(ImageColumnName, ImageFolder, Preprocessing);

        internal LowLightOutput Output => new(OutputColumnName, Fit, TileOverlap);

        internal void Validate()
        {
            Dimming.Validate();
            Output.Validate(Preprocessing);
            Check(TroubleMakerEpochCount > 0, nameof(TroubleMakerEpochCount), TroubleMakerEpochCount, "1 or more");
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(WarmUp is >= 0 and < 1, nameof(WarmUp), WarmUp, "in [0, 1)");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(MaxGradientNorm is not <= 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
