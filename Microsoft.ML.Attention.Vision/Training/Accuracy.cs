using System.Numerics.Tensors;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The share of pictures that a model classifies right.</summary>
internal static class Accuracy
{
    public static double Measure(
        OnnxSession session, LabelledPictures samples, ImagePreprocessing preprocessing, int batchSize, CancellationToken cancellation)
    {
        var batch = new PictureBatch(batchSize, preprocessing.ValueCount);
        using var runOptions = new RunOptions();
        var right = 0;
        for (var start = 0; start < samples.Count; start += batchSize)
        {
            var count = Math.Min(batchSize, samples.Count - start);
            var first = start;
            Parallel.ForAsync(0, count, cancellation, (place, _) =>
            {
                using var pixels = new PixelBuffer();
                batch.Labels[place] = samples.Decode(first + place, pixels);
                preprocessing.Apply(pixels.View, batch.Picture(place));
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
                right += TensorPrimitives.IndexOfMax(logits.Slice(place * classes, classes)) == batch.Labels[place] ? 1 : 0;
        }
        return (double)right / samples.Count;
    }
}
