using System.Drawing;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of one training batch of a detector.</summary>
/// <param name="size">The number of pictures.</param>
/// <param name="area">The size of each.</param>
/// <param name="largestCount">The most objects that a picture may have.</param>
internal sealed class DetectionBatch(int size, Size area, int largestCount)
{
    /// <summary>The pictures, <c>[N, 3, H, W]</c>.</summary>
    public float[] Pixels { get; } = new float[size * 3 * area.Width * area.Height];

    /// <summary>Height and width of what is no padding, <c>[N, 2]</c>.</summary>
    public long[] Sizes { get; } = new long[size * 2];

    /// <summary>The objects' boxes, <c>[N, T, 4]</c>.</summary>
    public float[] Boxes { get; } = new float[size * largestCount * 4];

    /// <summary>The objects' classes, <c>[N, T]</c>.</summary>
    public long[] Classes { get; } = new long[size * largestCount];

    /// <summary>How many objects there are, <c>[N]</c>.</summary>
    public long[] Counts { get; } = new long[size];
}

/// <summary>
/// Makes the batches of a detector's training: shuffled, decoded and augmented by all cores, some batches ahead of the model.
/// </summary>
/// <param name="samples">The data set.</param>
/// <param name="preprocessing">How pictures become numbers.</param>
/// <param name="augmentation">Random changes of each picture.</param>
/// <param name="area">The size of every picture with its padding.</param>
/// <param name="isInPixels">Whether boxes are in pixels rather than in parts of the picture.</param>
/// <param name="batchSize">The size of every batch.</param>
/// <param name="largestCount">The most objects of a picture; what goes beyond is left out, the smallest first.</param>
/// <param name="memory">The room for decoded pictures.</param>
/// <param name="seed">With the epoch it tells order and changes.</param>
internal sealed class DetectionBatches(
    IReadOnlyList<DetectionSample> samples, DetectionPreprocessing preprocessing, DetectionAugmentation augmentation, Size area,
    bool isInPixels, int batchSize, int largestCount, PictureMemory memory, int seed)
{
    private readonly BatchesAhead<DetectionBatch> _ahead = new(() => new(batchSize, area, largestCount));

    /// <summary>Batches in an epoch. The pictures that are left over, other ones in each epoch, sit it out.</summary>
    public int Count => samples.Count / batchSize;

    /// <summary>The batches of an epoch; each may be used until the next one is asked for.</summary>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<DetectionBatch> Epoch(int epoch, CancellationToken cancellation)
    {
        var order = Enumerable.Range(0, samples.Count).ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        return _ahead.Take(0, Count, FillAll, cancellation);

        Task FillAll(DetectionBatch batch, int number, CancellationToken stop) => Parallel.ForAsync(0, batchSize, stop, (place, _) =>
        {
            Fill(batch, place, order[(number * batchSize) + place], epoch);
            return ValueTask.CompletedTask;
        });
    }

    private void Fill(DetectionBatch batch, int place, int index, int epoch)
    {
        using var pixels = new PixelBuffer();
        var picture = samples[index].Decode(pixels, memory);
        var placement = augmentation.Draw(new SampleRandom(seed, epoch, index), new(picture.Width, picture.Height), area);
        var planes = batch.Pixels.AsSpan(place * 3 * area.Width * area.Height, 3 * area.Width * area.Height);
        preprocessing.Write(picture.Crop(placement.Window), placement.Size, planes, area.Width);
        Change(planes, placement);
        (batch.Sizes[2 * place], batch.Sizes[(2 * place) + 1]) = (placement.Size.Height, placement.Size.Width);
        Label(batch, place, samples[index], placement);
    }

    // Mirrors and lights the picture; the padding stays zero.
    private void Change(Span<float> planes, DetectionPlacement placement)
    {
        var size = placement.Size;
        for (var channel = 0; channel < 3; channel++)
        {
            var plane = planes.Slice(channel * area.Width * area.Height, area.Width * area.Height);
            for (var y = 0; y < size.Height; y++)
            {
                var row = plane.Slice(y * area.Width, size.Width);
                foreach (ref var value in row)
                    value = (value * placement.Contrast) + placement.Brightness;
                if (placement.IsMirrored)
                    row.Reverse();
            }
            for (var y = 0; placement.IsUpsideDown && y < size.Height / 2; y++)
            {
                var upper = plane.Slice(y * area.Width, size.Width);
                var lower = plane.Slice((size.Height - 1 - y) * area.Width, size.Width);
                for (var x = 0; x < upper.Length; x++)
                    (upper[x], lower[x]) = (lower[x], upper[x]);
            }
        }
    }

    private void Label(DetectionBatch batch, int place, DetectionSample sample, DetectionPlacement placement)
    {
        var objects = sample.Boxes.Select((box, i) => (Box: placement.Place(box), Class: sample.Classes[i]))
            .Where(found => found.Box is not null).OrderByDescending(found => found.Box!.Value.Area).Take(largestCount).ToArray();
        batch.Counts[place] = objects.Length;
        var boxes = batch.Boxes.AsSpan(place * largestCount * 4, largestCount * 4);
        boxes.Fill(0.5f);
        for (var i = 0; i < objects.Length; i++)
        {
            var box = objects[i].Box!.Value;
            var (width, height) = isInPixels ? (1f, 1f) : (placement.Size.Width, placement.Size.Height);
            boxes[4 * i] = (box.Left + box.Right) / 2 / width;
            boxes[(4 * i) + 1] = (box.Top + box.Bottom) / 2 / height;
            boxes[(4 * i) + 2] = (box.Right - box.Left) / width;
            boxes[(4 * i) + 3] = (box.Bottom - box.Top) / height;
            batch.Classes[(place * largestCount) + i] = objects[i].Class;
        }
    }
}
