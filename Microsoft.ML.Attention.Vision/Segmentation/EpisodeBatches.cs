using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of one batch of episodes.</summary>
/// <param name="count">The number of episodes.</param>
/// <param name="shotCount">Supports of an episode.</param>
/// <param name="size">The height and width of all pictures.</param>
internal sealed class EpisodeBatch(int count, int shotCount, int size)
{
    /// <summary>The queries, <c>[N, 3, S, S]</c>.</summary>
    public float[] Queries { get; } = new float[count * 3 * size * size];

    /// <summary>The supports, <c>[N, K, 3, S, S]</c>.</summary>
    public float[] Supports { get; } = new float[count * shotCount * 3 * size * size];

    /// <summary>Where their objects are: 1, <c>[N, K, S, S]</c>.</summary>
    public byte[] Masks { get; } = new byte[count * shotCount * size * size];

    /// <summary>What the queries' pixels are: 1 the object, 0 not, 255 does not count; <c>[N, S, S]</c>.</summary>
    public long[] Labels { get; } = new long[count * size * size];

    /// <summary>
    /// The classes of the queries' pixels: 0 the background, else the place among the classes that are drawn, from 1; 255 does not count;
    /// <c>[N, S, S]</c>.
    /// </summary>
    public long[] Classes { get; } = new long[count * size * size];

    /// <summary>The number of labels that count.</summary>
    public int LabelCount => Labels.Length - Labels.AsSpan().Count(LabelMap.Ignored);
}

/// <summary>Makes batches of episodes: drawn, decoded and augmented by all cores, some batches ahead of the model.</summary>
/// <param name="pictures">The pictures.</param>
/// <param name="episodes">Draws episodes of them.</param>
/// <param name="augmentation">Random changes of each picture.</param>
/// <param name="shotCount">Supports of an episode.</param>
/// <param name="size">The height and width of the model's pictures.</param>
/// <param name="batchSize">Episodes of a batch.</param>
/// <param name="count">Batches of an epoch.</param>
/// <param name="seed">With the epoch it tells order, episodes and changes.</param>
internal sealed class EpisodeBatches(
    IReadOnlyList<SegmentedPicture> pictures, Episodes episodes, SegmentationAugmentation augmentation, int shotCount, int size,
    int batchSize, int count, int seed)
{
    private readonly BatchesAhead<EpisodeBatch> _ahead = new(() => new(batchSize, shotCount, size));
    private readonly byte[] _places = Places(episodes.Classes);

    /// <summary>Batches in an epoch.</summary>
    public int Count => count;

    /// <summary>The batches of an epoch; each may be used until the next one is asked for.</summary>
    /// <param name="epoch">The number of the epoch.</param>
    /// <param name="first">The batch to begin with.</param>
    /// <param name="cancellation">Ends the epoch early.</param>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<EpisodeBatch> Epoch(int epoch, int first, CancellationToken cancellation)
    {
        var order = episodes.Queries.ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        return _ahead.Take(first, count, FillAll, cancellation);

        Task FillAll(EpisodeBatch batch, int number, CancellationToken stop) => Parallel.ForAsync(0, batchSize, stop, (place, _) =>
        {
            // An epoch of more episodes than queries begins anew.
            var index = (number * batchSize) + place;
            Fill(batch, place, order[index % order.Length], new(seed, epoch, index));
            return ValueTask.CompletedTask;
        });
    }

    private void Fill(EpisodeBatch batch, int place, int query, SampleRandom random)
    {
        var episode = episodes.Draw(query, ref random);
        var area = size * size;
        var labels = new byte[area];
        Write(query, episode.Label, ref random, batch.Queries.AsSpan(place * 3 * area, 3 * area), labels);
        for (var i = 0; i < area; i++)
        {
            batch.Labels[(place * area) + i] =
                labels[i] == LabelMap.Ignored ? LabelMap.Ignored : labels[i] == episode.Label ? 1 : 0;
            batch.Classes[(place * area) + i] = _places[labels[i]];
        }
        for (var shot = 0; shot < shotCount; shot++)
        {
            var index = (place * shotCount) + shot;
            var mask = batch.Masks.AsSpan(index * area, area);
            Write(episode.Supports[shot], episode.Label, ref random, batch.Supports.AsSpan(index * 3 * area, 3 * area), mask);
            foreach (ref var label in mask)
                label = (byte)(label == episode.Label ? 1 : 0);
        }
    }

    // Labels of classes that are not drawn do not count.
    private static byte[] Places(IReadOnlyList<byte> classes)
    {
        var places = new byte[byte.MaxValue + 1];
        Array.Fill(places, LabelMap.Ignored);
        places[0] = 0;
        foreach (var (place, label) in classes.Index())
            places[label] = (byte)(place + 1);
        return places;
    }

    private void Write(int index, byte label, ref SampleRandom random, Span<float> values, Span<byte> labels)
    {
        using var pixels = new PixelBuffer();
        var map = pictures[index].DecodeLabels(pixels);
        var placement = augmentation.Draw(ref random, map, label, size);
        placement.Write(map, size, labels);
        pictures[index].Decode(pixels);
        if ((pixels.Width, pixels.Height) != (map.Width, map.Height))
        {
            throw new InvalidDataException(
                $"A picture of {pixels.Width} x {pixels.Height} pixels has labels of {map.Width} x {map.Height}.");
        }
        placement.Write(pixels.View, size, values);
    }
}
