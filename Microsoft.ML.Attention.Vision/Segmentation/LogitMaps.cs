using System.Buffers;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Takes a model's logits of background and object back to the pixels of a picture: bilinear to a square of the picture's longer side (with
/// corners on corners), of which the picture is the upper left part; an object is where its logit is the larger one.
/// </summary>
internal static class LogitMaps
{
    /// <summary>
    /// Labels the pixels of a picture: with the class whose object is clearest there, from 1, or with 0 for the background of all.
    /// </summary>
    /// <param name="logits">The logits of each class, <c>[classes, 2, size, size]</c>.</param>
    /// <param name="size">Their height and width.</param>
    /// <param name="width">The picture's width.</param>
    /// <param name="height">The picture's height.</param>
    /// <param name="labels">Where the labels go, row by row.</param>
    public static void Label(ReadOnlySpan<float> logits, int size, int width, int height, Span<byte> labels)
    {
        labels.Clear();
        var classCount = logits.Length / (2 * size * size);
        var scale = (size - 1) / (float)Math.Max(1, Math.Max(width, height) - 1);
        var best = ArrayPool<float>.Shared.Rent(width * height);
        Array.Clear(best, 0, width * height);
        var columns = ArrayPool<(int First, int Second, float Weight)>.Shared.Rent(width);
        for (var x = 0; x < width; x++)
            columns[x] = Place(x);
        for (var number = 0; number < classCount; number++)
        {
            var background = logits.Slice(2 * number * size * size, size * size);
            var objects = logits.Slice(((2 * number) + 1) * size * size, size * size);
            for (var y = 0; y < height; y++)
            {
                var (first, second, weight) = Place(y);
                var (upper, lower) = (first * size, second * size);
                for (var x = 0; x < width; x++)
                {
                    var (left, right, share) = columns[x];
                    var margin = At(objects) - At(background);
                    if (margin > best[(y * width) + x])
                        (best[(y * width) + x], labels[(y * width) + x]) = (margin, (byte)(number + 1));

                    float At(ReadOnlySpan<float> plane)
                    {
                        var above = plane[upper + left] + ((plane[upper + right] - plane[upper + left]) * share);
                        var below = plane[lower + left] + ((plane[lower + right] - plane[lower + left]) * share);
                        return above + ((below - above) * weight);
                    }
                }
            }
        }
        ArrayPool<(int, int, float)>.Shared.Return(columns);
        ArrayPool<float>.Shared.Return(best);

        (int First, int Second, float Weight) Place(int index)
        {
            var position = index * scale;
            var first = Math.Min((int)position, size - 1);
            return (first, Math.Min(first + 1, size - 1), position - first);
        }
    }
}
