using System.Text.Json.Serialization;

namespace Microsoft.ML.Attention.Vision;

/// <summary>How far a training has come; with the trainer's state it is all that a resumed one needs.</summary>
internal sealed class TrainingProgress
{
    /// <summary>The epoch at hand, from 1.</summary>
    public int Epoch { get; set; } = 1;

    /// <summary>The batches of the epoch that are behind it.</summary>
    public int Batch { get; set; }

    /// <summary>The sum of the finite losses of the epoch; others are of steps that were skipped.</summary>
    public double LossSum { get; set; }

    /// <summary>The number of the finite losses of the epoch.</summary>
    public int LossCount { get; set; }

    /// <summary>The right answers of the epoch.</summary>
    public double Correct { get; set; }

    /// <summary>Whether the training is over, perhaps before its last epoch.</summary>
    public bool HasEnded { get; set; }

    /// <summary>The time of the training before its last interruption.</summary>
    public TimeSpan Elapsed { get; set; }

    public List<float> StepLosses { get; init; } = [];

    /// <summary>The losses of the batches of the step at hand.</summary>
    public List<float> BatchLosses { get; init; } = [];

    public List<EpochSummary> Epochs { get; init; } = [];

    public BestEpoch? Best { get; set; }

    [JsonIgnore]
    public TrainingTrace Trace => new(StepLosses, Epochs) { BestEpoch = Best?.Epoch };

    public void AddBatch(float loss, float correct, int batchesPerStep)
    {
        BatchLosses.Add(loss);
        if (BatchLosses.Count == batchesPerStep)
        {
            StepLosses.Add(BatchLosses.Average());
            BatchLosses.Clear();
        }
        (Batch, Correct) = (Batch + 1, Correct + correct);
        if (float.IsFinite(loss))
            (LossSum, LossCount) = (LossSum + loss, LossCount + 1);
    }

    public void EndEpoch(EpochSummary summary)
    {
        Epochs.Add(summary);
        (Epoch, Batch, LossSum, LossCount, Correct) = (Epoch + 1, 0, 0, 0, 0);
    }
}
