using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Onnx.Training;

/// <summary>Losses and metrics as parts of a graph.</summary>
public static class Losses
{
    /// <summary>The mean cross-entropy of a classifier.</summary>
    /// <param name="logits">[N, classes]</param>
    /// <param name="labels">Class indices [N] int64, or target probabilities [N, classes] of the type of the logits.</param>
    /// <param name="labelSmoothing">The part of each target that is spread evenly over all classes, 0 to below 1.</param>
    /// <returns>A scalar.</returns>
    public static Value CrossEntropy(Value logits, Value labels, float labelSmoothing = 0)
    {
        var logProbabilities = logits.LogSoftmax();
        var loss = labels.Type == TensorElementType.Int64
            ? -logProbabilities.GatherElements(labels.Unsqueeze(1), 1).ReduceMean([0, 1])
            : -(labels * logProbabilities).ReduceSum([1]).ReduceMean([0]);
        return labelSmoothing == 0 ? loss : (loss * (1 - labelSmoothing)) - (logProbabilities.ReduceMean([0, 1]) * labelSmoothing);
    }

    /// <summary>The mean squared difference.</summary>
    /// <param name="predictions">[...]</param>
    /// <param name="targets">[...]</param>
    /// <returns>A scalar.</returns>
    public static Value MeanSquaredError(Value predictions, Value targets)
    {
        var difference = predictions - targets;
        return (difference * difference).ReduceMean([.. Enumerable.Range(0, predictions.Shape.Rank).Select(axis => (long)axis)]);
    }

    /// <summary>The mean of d^2 / 2 where the difference d is below 1, of |d| - 1/2 elsewhere (Huber's loss).</summary>
    /// <param name="predictions">[...]</param>
    /// <param name="targets">[...]</param>
    /// <returns>A scalar.</returns>
    public static Value SmoothL1(Value predictions, Value targets)
    {
        var distance = (predictions - targets).Apply("Abs");
        var near = distance.Builder.Op("Min", [distance, distance.Builder.Scalar(1, distance)]);
        return (near * (distance - (near * 0.5))).ReduceMean([.. Enumerable.Range(0, distance.Shape.Rank).Select(axis => (long)axis)]);
    }

    /// <summary>The mean cross-entropy of independent yes-no predictions.</summary>
    /// <param name="logits">[...]</param>
    /// <param name="targets">Probabilities [...] of the type of the logits.</param>
    /// <returns>A scalar.</returns>
    public static Value BinaryCrossEntropy(Value logits, Value targets) =>
        (logits.Apply("Softplus") - (targets * logits)).ReduceMean([.. Enumerable.Range(0, logits.Shape.Rank).Select(axis => (long)axis)]);

    /// <summary>
    /// Dice loss of per-pixel classes: for each image and class 1 - 2 sum(t p) / (sum(t^2) + sum(p^2)) with the sigmoid p of the logit and
    /// the target t, 0 or 1; summed over the classes, the mean over the images. Pixels of no class pull all of their predictions to 0.
    /// <para>Source: Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation", 3DV 2016
    /// (arXiv 1606.04797).</para>
    /// </summary>
    /// <param name="logits">[N, classes, H, W]</param>
    /// <param name="labels">Class indices of an integer type, [N, H, W]; others, such as 255, are of no class.</param>
    /// <returns>A scalar, 0 to the number of classes.</returns>
    public static Value Dice(Value logits, Value labels)
    {
        const double LeastDenominator = 1e-8;
        var (builder, count) = (logits.Builder, logits.Shape[1].Value);
        var classes = builder.Constant(Tensor.Create<long>([.. Enumerable.Range(0, (int)count).Select(i => (long)i)], count, 1, 1));
        var targets = builder.Op("Equal", [labels.Cast(TensorElementType.Int64).Unsqueeze(1), classes]).Cast(logits.Type);
        var probabilities = logits.Apply("Sigmoid");
        var sums = (probabilities * probabilities).ReduceSum([2, 3]) + targets.ReduceSum([2, 3]);
        var overlaps = (targets * probabilities).ReduceSum([2, 3]) / builder.Op("Max", [sums, builder.Scalar(LeastDenominator, sums)]);
        return (1 - (overlaps * 2)).ReduceSum([1]).ReduceMean([0]);
    }

    /// <summary>How many examples have their largest logit at the label.</summary>
    /// <param name="logits">[N, classes]</param>
    /// <param name="labels">Class indices [N] int64.</param>
    /// <returns>A float scalar.</returns>
    public static Value CorrectCount(Value logits, Value labels)
    {
        var predicted = logits.Builder.Op("ArgMax", [logits], new() { ["axis"] = 1, ["keepdims"] = 0 });
        return logits.Builder.Op("Equal", [predicted, labels]).Cast(TensorElementType.Float).ReduceSum([0]);
    }
}
