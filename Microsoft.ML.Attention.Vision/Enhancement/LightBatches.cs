using System.Buffers;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Makes batches of pictures in normal light and in low light: shuffled, cut to the nets' size and mirrored.</summary>
/// <param name="pictures">The pictures.</param>
/// <param name="troubleMaker">Darkens them.</param>
/// <param name="preprocessing">How pictures become numbers.</param>
/// <param name="isTiled">Whether pictures are cut into tiles rather than stretched.</param>
/// <param name="batchSize">The size of every batch.</param>
/// <param name="seed">With the epoch it tells order, parts and what the troublemaker does.</param>
internal sealed class LightBatches(
    LightPictures pictures, TroubleMaker troubleMaker, ImagePreprocessing preprocessing, bool isTiled, int batchSize, int seed)
{
    /// <summary>Pictures in a batch.</summary>
    public int Size => batchSize;

    /// <summary>Batches in an epoch. The pictures that are left over, other ones in each epoch, sit it out.</summary>
    public int Count => pictures.Count / batchSize;

    /// <summary>The current batch in normal light, [N, 3, H, W].</summary>
    public float[] Normal { get; } = new float[batchSize * preprocessing.ValueCount];

    /// <summary>The current batch in low light, [N, 3, H, W].</summary>
    public float[] Dark { get; } = new float[batchSize * preprocessing.ValueCount];

    /// <summary>Goes through the batches of an epoch by number.</summary>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<int> Epoch(int epoch, CancellationToken cancellation)
    {
        var order = Enumerable.Range(0, pictures.Count).ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        for (var batch = 0; batch < Count; batch++)
        {
            var first = batch * batchSize;
            Parallel.ForAsync(0, batchSize, cancellation, (place, _) =>
            {
                Prepare(epoch, order[first + place], place);
                return ValueTask.CompletedTask;
            }).GetAwaiter().GetResult();
            troubleMaker.Darken(Normal, Dark);
            yield return batch;
        }
    }

    private void Prepare(int epoch, int sample, int place)
    {
        var random = new SampleRandom(seed, epoch, sample);
        var choice = PieceChoice.Draw(ref random);
        using var pixels = new PixelBuffer();
        pictures.DecodeNormal(sample, pixels);
        var length = preprocessing.Width * preprocessing.Height * PixelView.BytesPerPixel;
        var rented = ArrayPool<byte>.Shared.Rent(length);
        var piece = rented.AsSpan(0, length);
        choice.Cut(pixels.View, preprocessing, isTiled, piece);
        preprocessing.Normalise(new PixelView(piece, preprocessing.Width, preprocessing.Height), ValuesOf(Normal, place));
        troubleMaker.Darken(sample, choice, piece, ref random, ValuesOf(Dark, place));
        ArrayPool<byte>.Shared.Return(rented);
    }

    private Span<float> ValuesOf(float[] batch, int place) =>
        batch.AsSpan(place * preprocessing.ValueCount, preprocessing.ValueCount);
}
