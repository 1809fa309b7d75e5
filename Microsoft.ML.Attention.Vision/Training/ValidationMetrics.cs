using System.Numerics.Tensors;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>How well a model classifies pictures that it did not train on; the measures of ML.NET's evaluation.</summary>
/// <param name="Accuracy">The share of right answers, in [0, 1].</param>
/// <param name="MacroAccuracy">The mean over the classes of the share of right answers, in [0, 1].</param>
/// <param name="LogLoss">The mean of -log of the probability that is given to the right class.</param>
public sealed record ValidationMetrics(double Accuracy, double MacroAccuracy, double LogLoss)
{
    internal static ValidationMetrics Measure(
        OnnxSession session, PictureCache pictures, ImagePreprocessing preprocessing, int batchSize, CancellationToken cancellation)
    {
        var batch = new PictureBatch(batchSize, preprocessing.ValueCount, classCount: 0);
        using var runOptions = new RunOptions();
        var (logLoss, seen, right) = (0.0, new Dictionary<long, int>(), new Dictionary<long, int>());
        for (var start = 0; start < pictures.Count; start += batchSize)
        {
            var count = Math.Min(batchSize, pictures.Count - start);
            var first = start;
            Parallel.ForAsync(0, count, cancellation, (place, _) =>
            {
                using var pixels = new PixelBuffer();
                batch.Labels[place] = pictures.Label(first + place);
                preprocessing.Normalise(pictures.Get(first + place, pixels), batch.Picture(place));
                return ValueTask.CompletedTask;
            }).GetAwaiter().GetResult();
            using var input = OrtValue.CreateTensorValueFromMemory(
                OrtMemoryInfo.DefaultInstance,
                batch.Pixels.AsMemory(0, count * preprocessing.ValueCount),
                [count, 3, preprocessing.Height, preprocessing.Width]);
            using var outputs = session.Run(runOptions, [.. session.Inputs.Keys], [input], [session.OutputNames[0]], cancellation);
            var logits = outputs[0].GetTensorDataAsSpan<float>();
            var classes = logits.Length / count;
            for (var place = 0; place < count; place++)
            {
                var row = logits.Slice(place * classes, classes);
                var label = batch.Labels[place];
                seen[label] = seen.GetValueOrDefault(label) + 1;
                if (TensorPrimitives.IndexOfMax(row) == label)
                    right[label] = right.GetValueOrDefault(label) + 1;
                logLoss += LogSumExp(row) - row[(int)label];
            }
        }
        return new(
            right.Values.Sum() / (double)pictures.Count,
            seen.Average(entry => right.GetValueOrDefault(entry.Key) / (double)entry.Value),
            logLoss / pictures.Count);
    }

    private static double LogSumExp(ReadOnlySpan<float> logits)
    {
        var (largest, sum) = (TensorPrimitives.Max(logits), 0.0);
        foreach (var logit in logits)
            sum += Math.Exp(logit - largest);
        return largest + Math.Log(sum);
    }
}

/// <summary>By what the epochs of a training are compared.</summary>
public enum ValidationMetric
{
    /// <summary>The highest <see cref="ValidationMetrics.Accuracy"/> is best.</summary>
    Accuracy,

    /// <summary>The highest <see cref="ValidationMetrics.MacroAccuracy"/> is best: rare classes weigh as much as others.</summary>
    MacroAccuracy,

    /// <summary>The lowest <see cref="ValidationMetrics.LogLoss"/> is best.</summary>
    LogLoss,
}
