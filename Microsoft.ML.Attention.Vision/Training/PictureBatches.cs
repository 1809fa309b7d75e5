using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Makes batches of a data set: shuffled, decoded, augmented, normalised and mixed by all cores, some batches ahead of the model.
/// </summary>
/// <param name="pictures">The data set.</param>
/// <param name="preprocessing">How pictures become numbers.</param>
/// <param name="augmentation">Random changes of each picture.</param>
/// <param name="mixing">How pictures are mixed with each other; null for not at all.</param>
/// <param name="targets">How classes become targets of the loss.</param>
/// <param name="batchSize">The size of every batch.</param>
/// <param name="seed">With the epoch it tells order, changes and mixing.</param>
/// <param name="batchesPerStep">An epoch has a multiple of so many batches.</param>
internal sealed class PictureBatches(
    PictureCache pictures, ImagePreprocessing preprocessing, ImageAugmentation augmentation, Mixing? mixing, Targets targets,
    int batchSize, int seed, int batchesPerStep = 1)
{
    private readonly BatchesAhead<PictureBatch> _ahead = new(() => new(batchSize, preprocessing.ValueCount, targets.ClassCount));

    /// <summary>Batches in an epoch. The pictures that are left over, other ones in each epoch, sit it out.</summary>
    public int Count => pictures.Count / (batchSize * batchesPerStep) * batchesPerStep;

    /// <summary>The batches of an epoch; each may be used until the next one is asked for.</summary>
    /// <param name="epoch">The number of the epoch.</param>
    /// <param name="first">The batch to begin with.</param>
    /// <param name="cancellation">Ends the epoch early.</param>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<PictureBatch> Epoch(int epoch, int first, CancellationToken cancellation)
    {
        var order = Enumerable.Range(0, pictures.Count).ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        return _ahead.Take(
            first, Count,
            (batch, number, stop) => Fill(batch, epoch, number, order.AsMemory(number * batchSize, batchSize), stop),
            cancellation);
    }

    /// <summary>Prepares the pictures two by two: those that may be mixed with each other.</summary>
    private Task Fill(PictureBatch batch, int epoch, int number, ReadOnlyMemory<int> samples, CancellationToken cancellation)
    {
        var mix = mixing?.Draw(new SampleRandom(seed, epoch, index: -2 - number), preprocessing.Width, preprocessing.Height) ?? Mix.None;
        return Parallel.ForAsync(0, (batchSize + 1) / 2, cancellation, (place, _) =>
        {
            var opposite = batchSize - 1 - place;
            var (first, second) = (samples.Span[place], samples.Span[opposite]);
            Prepare(epoch, first, batch.Picture(place));
            if (opposite != place)
            {
                Prepare(epoch, second, batch.Picture(opposite));
                mix.Apply(batch.Picture(place), batch.Picture(opposite), preprocessing.Width, preprocessing.Height);
            }
            Label(batch, place, pictures.Label(first), pictures.Label(second), mix.Share);
            Label(batch, opposite, pictures.Label(second), pictures.Label(first), mix.Share);
            return ValueTask.CompletedTask;
        });
    }

    private void Prepare(int epoch, int sample, Span<float> destination)
    {
        using var pixels = new PixelBuffer();
        var picture = pictures.Get(sample, pixels);
        var random = new SampleRandom(seed, epoch, sample);
        if (pictures.IsResized)
            augmentation.ApplyResized(picture, preprocessing, random, destination);
        else
            augmentation.Apply(picture, preprocessing, random, destination);
    }

    private void Label(PictureBatch batch, int place, int label, int otherLabel, float share)
    {
        batch.Labels[place] = share >= 0.5f ? label : otherLabel;
        targets.Write(batch.Target(place), label, otherLabel, share);
    }
}
