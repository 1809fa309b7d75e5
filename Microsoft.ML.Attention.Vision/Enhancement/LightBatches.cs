using System.Buffers;
using Microsoft.ML.Attention.Vision.Pixels;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of one batch: the same pictures in both lights.</summary>
/// <param name="length">The numbers of all pictures.</param>
internal sealed class LightBatch(int length)
{
    /// <summary>In normal light, [N, 3, H, W].</summary>
    public float[] Normal { get; } = new float[length];

    /// <summary>In low light, [N, 3, H, W].</summary>
    public float[] Dark { get; } = new float[length];
}

/// <summary>
/// Makes batches of pictures in normal light and in low light: shuffled, cut to the nets' size and mirrored, some batches ahead of the
/// nets.
/// </summary>
/// <param name="pictures">The pictures.</param>
/// <param name="troubleMaker">Darkens them.</param>
/// <param name="preprocessing">How pictures become numbers.</param>
/// <param name="isTiled">Whether pictures are cut into tiles rather than stretched.</param>
/// <param name="batchSize">The size of every batch.</param>
/// <param name="seed">With the epoch it tells order, parts and what the troublemaker does.</param>
internal sealed class LightBatches(
    LightPictures pictures, TroubleMaker troubleMaker, ImagePreprocessing preprocessing, bool isTiled, int batchSize, int seed)
{
    private readonly BatchesAhead<LightBatch> _ahead = new(() => new(batchSize * preprocessing.ValueCount));

    /// <summary>Pictures in a batch.</summary>
    public int Size => batchSize;

    /// <summary>Batches in an epoch. The pictures that are left over, other ones in each epoch, sit it out.</summary>
    public int Count => pictures.Count / batchSize;

    /// <summary>The batches of an epoch; each may be used until the next one is asked for.</summary>
    /// <exception cref="InvalidDataException">A picture cannot be decoded; the message names row, picture and reason.</exception>
    public IEnumerable<LightBatch> Epoch(int epoch, CancellationToken cancellation)
    {
        var order = Enumerable.Range(0, pictures.Count).ToArray();
        new SampleRandom(seed, epoch, index: -1).Shuffle<int>(order);
        return _ahead.Take(0, Count, Fill, cancellation);

        async Task Fill(LightBatch batch, int number, CancellationToken stop)
        {
            await Parallel.ForAsync(0, batchSize, stop, (place, _) =>
            {
                Prepare(epoch, order[(number * batchSize) + place], ValuesOf(batch.Normal, place), ValuesOf(batch.Dark, place));
                return ValueTask.CompletedTask;
            });
            troubleMaker.Darken(batch.Normal, batch.Dark);
        }
    }

    private void Prepare(int epoch, int sample, Span<float> normal, Span<float> dark)
    {
        var random = new SampleRandom(seed, epoch, sample);
        var choice = PieceChoice.Draw(ref random);
        using var pixels = new PixelBuffer();
        pictures.DecodeNormal(sample, pixels);
        var length = preprocessing.Width * preprocessing.Height * PixelView.BytesPerPixel;
        var rented = ArrayPool<byte>.Shared.Rent(length);
        var piece = rented.AsSpan(0, length);
        choice.Cut(pixels.View, preprocessing, isTiled, piece);
        preprocessing.Normalise(new PixelView(piece, preprocessing.Width, preprocessing.Height), normal);
        troubleMaker.Darken(sample, choice, piece, ref random, dark);
        ArrayPool<byte>.Shared.Return(rented);
    }

    private Span<float> ValuesOf(float[] batch, int place) =>
        batch.AsSpan(place * preprocessing.ValueCount, preprocessing.ValueCount);
}
