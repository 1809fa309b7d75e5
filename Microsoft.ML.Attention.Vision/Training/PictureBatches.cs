using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Makes batches of a data set: shuffled, decoded, augmented and normalised, each by all cores and while the model works on the one before.
/// </summary>
/// <param name="samples">The data set.</param>
/// <param name="preprocessing">How pictures become numbers.</param>
/// <param name="augmentation">Random changes.</param>
/// <param name="batchSize">The size of every batch.</param>
/// <param name="seed">With the epoch it tells order and changes.</param>
internal sealed class PictureBatches(
    LabelledPictures samples, ImagePreprocessing preprocessing, ImageAugmentation augmentation, int batchSize, int seed)
{
    private readonly PictureBatch[] _turns = [new(batchSize, preprocessing.ValueCount), new(batchSize, preprocessing.ValueCount)];

    /// <summary>Batches in an epoch. The pictures that are left over, other ones in each epoch, sit it out.</summary>
    public int Count => samples.Count / batchSize;

    /// <summary>The batches of an epoch; each may be used until the next one is asked for.</summary>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<PictureBatch> Epoch(int epoch, CancellationToken cancellation)
    {
        var order = Enumerable.Range(0, samples.Count).ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        var filling = Fill(0);
        try
        {
            for (var batch = 0; batch < Count; batch++)
            {
                filling.GetAwaiter().GetResult();
                if (batch + 1 < Count)
                    filling = Fill(batch + 1);
                yield return _turns[batch % 2];
            }
        }
        finally
        {
            Task.WaitAny([filling], CancellationToken.None);
        }

        Task Fill(int batch) => Parallel.ForAsync(0, batchSize, cancellation, (place, _) =>
        {
            Prepare(epoch, order[batch * batchSize + place], _turns[batch % 2], place);
            return ValueTask.CompletedTask;
        });
    }

    private void Prepare(int epoch, int sample, PictureBatch batch, int place)
    {
        using var pixels = new PixelBuffer();
        batch.Labels[place] = samples.Decode(sample, pixels);
        augmentation.Apply(pixels.View, preprocessing, new SampleRandom(seed, epoch, sample), batch.Picture(place));
    }
}
