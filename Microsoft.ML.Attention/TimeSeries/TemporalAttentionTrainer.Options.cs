using Microsoft.ML.Attention.Onnx.Models;

namespace Microsoft.ML.Attention;

public sealed partial class TemporalAttentionTrainer
{
    /// <summary>Options for <see cref="TemporalAttentionTrainer"/>.</summary>
    public sealed class Options
    {
        /// <summary>The names of the columns.</summary>
        public TemporalColumns Columns { get; set; } = new();

        /// <summary>
        /// The variables, in the order of the column of series; null for continuous ones under the names that
        /// <see cref="GroupTimeSeriesEstimator"/> gave.
        /// </summary>
        public IReadOnlyList<SeriesVariable>? Variables { get; set; }

        /// <summary>How series become bins; their number must be a multiple of the architecture's segments.</summary>
        public SeriesPreprocessing Preprocessing { get; set; } = new();

        /// <summary>
        /// Whether the model sees when each variable was measured, besides the values; the published one does not.
        /// </summary>
        public bool SeesFlags { get; set; }

        /// <summary>
        /// The architecture. The numbers of bins, columns and outputs and the head's activation are set from preprocessing, data and task.
        /// </summary>
        public TscanConfig Architecture { get; set; } = new() { AttentionWidth = 64, HiddenWidth = 64 };

        /// <summary>
        /// The networks whose mean the model is, each with its own random weights, order and validation part; 1 for a single network.
        /// </summary>
        public int MemberCount { get; set; } = 1;

        /// <summary>How often a network sees each series, at most.</summary>
        public int EpochCount { get; set; } = 30;

        /// <summary>Series a step; no more than there are.</summary>
        public int BatchSize { get; set; } = 32;

        /// <summary>The highest learning rate of AdamW, reached after the warm-up; from there it falls to 0 along a cosine.</summary>
        public float LearningRate { get; set; } = 1e-3f;

        /// <summary>The share of the steps in which the learning rate rises from 0, in [0, 1).</summary>
        public float WarmUp { get; set; } = 0.1f;

        /// <summary>
        /// The share of the variables that are hidden from a network, others of each series in each epoch, as if they had not been measured:
        /// a regularisation like dropout, which also gets the network used to what explanations and missing sensors ask. In [0, 1).
        /// </summary>
        public float VariableDropRate { get; set; }

        /// <summary>How much of each weight is taken away a step, times the learning rate; biases and norms are spared.</summary>
        public float WeightDecay { get; set; } = 0.05f;

        /// <summary>The largest norm of the gradient; longer ones are scaled down. Null for no limit.</summary>
        public float? MaxGradientNorm { get; set; } = 1;

        /// <summary>
        /// The share of the series that a network does not learn from, by which its epochs are compared, in [0, 1); another part for each
        /// member. Not used where a validation set is passed to Fit.
        /// </summary>
        public double ValidationFraction { get; set; }

        /// <summary>
        /// Early stopping: so many epochs without a better one on the validation series end the training. Null for never. Where there are
        /// validation series the best epoch's weights are kept in any case.
        /// </summary>
        public int? Patience { get; set; }

        /// <summary>Tells weights, order, dropout and validation parts; null to take it from the <see cref="MLContext"/>.</summary>
        public int? Seed { get; set; }

        /// <summary>Where the model is trained, and how the trained model batches its rows.</summary>
        public ScoringOptions Scoring { get; set; } = new();

        /// <summary>Told of each epoch when it ends.</summary>
        public IProgress<TemporalEpoch>? Progress { get; set; }

        /// <summary>Ends the training with an <see cref="OperationCanceledException"/> after the step at hand.</summary>
        public CancellationToken Cancellation { get; set; }

        internal void Validate()
        {
            Preprocessing.Validate();
            Check(MemberCount > 0, nameof(MemberCount), MemberCount, "1 or more");
            Check(EpochCount > 0, nameof(EpochCount), EpochCount, "1 or more");
            Check(BatchSize > 0, nameof(BatchSize), BatchSize, "1 or more");
            Check(LearningRate > 0, nameof(LearningRate), LearningRate, "positive");
            Check(WarmUp is >= 0 and < 1, nameof(WarmUp), WarmUp, "in [0, 1)");
            Check(VariableDropRate is >= 0 and < 1, nameof(VariableDropRate), VariableDropRate, "in [0, 1)");
            Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "0 or more");
            Check(MaxGradientNorm is null or > 0, nameof(MaxGradientNorm), MaxGradientNorm, "positive, or null");
            Check(ValidationFraction is >= 0 and < 1, nameof(ValidationFraction), ValidationFraction, "in [0, 1)");
            Check(Patience is null or > 0, nameof(Patience), Patience, "1 or more, or null");
            if (Preprocessing.BinCount % Architecture.SegmentCount != 0)
            {
                throw new ArgumentException($"{nameof(Preprocessing)}.{nameof(SeriesPreprocessing.BinCount)} is {Preprocessing.BinCount}, "
                    + $"not a multiple of {nameof(Architecture)}.{nameof(TscanConfig.SegmentCount)}, {Architecture.SegmentCount}.");
            }

            static void Check(bool valid, string name, object? value, string expected)
            {
                if (!valid)
                    throw new ArgumentException($"{name} is {value}; it must be {expected}.");
            }
        }
    }
}
