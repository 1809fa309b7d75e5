using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The latents of pictures, made once and scaled to a variance of 1.</summary>
internal sealed class PictureLatents
{
    private const int BatchSize = 32;

    private readonly float[][] _latents;

    private PictureLatents(float[][] latents, float scalingFactor, int channels, int height, int width) =>
        (_latents, ScalingFactor, Channels, Height, Width) = (latents, scalingFactor, channels, height, width);

    public int Count => _latents.Length;

    /// <summary>What the encoder's latents were multiplied by.</summary>
    public float ScalingFactor { get; }

    public int Channels { get; }

    public int Height { get; }

    public int Width { get; }

    /// <summary>The number of values of one picture, [C, h, w].</summary>
    public int Length => Channels * Height * Width;

    public ReadOnlySpan<float> this[int index] => _latents[index];

    /// <summary>Encodes all pictures to the means of their latents.</summary>
    public static PictureLatents Encode(
        IHostEnvironment host, TrainingPictures pictures, TrainedAutoencoder autoencoder, GenerativeTrainerOptions options)
    {
        var reduction = autoencoder.Config.Reduction;
        var (channels, height, width) = (autoencoder.Config.LatentChannels, pictures.Height / reduction, pictures.Width / reduction);
        var latents = new float[pictures.Count][];
        using var session = OnnxSession.Open(host, new ModelContent(autoencoder.Encoder.ToBytes()), options.Session);
        using var run = new RunOptions();
        using var input = session.AllocateInput(TensorElementType.Float, [BatchSize, 3, pictures.Height, pictures.Width]);
        using var output = OnnxSession.AllocateOutput(TensorElementType.Float, [BatchSize, 2 * channels, height, width]);
        for (var first = 0; first < latents.Length; first += BatchSize)
        {
            // The places behind the last picture keep what they had.
            var count = Math.Min(BatchSize, latents.Length - first);
            Parallel.For(0, count, i => pictures.CopyTo(
                first + i, input.GetTensorMutableDataAsSpan<float>().Slice(i * pictures.ValueCount, pictures.ValueCount)));
            session.Run(run, ["sample"], [input], ["latent_parameters"], [output], options.Cancellation);
            var length = channels * height * width;
            for (var i = 0; i < count; i++)
                latents[first + i] = output.GetTensorDataAsSpan<float>().Slice(2 * i * length, length).ToArray();
        }
        var scale = ScaleOf(latents);
        foreach (var latent in latents)
        {
            for (var i = 0; i < latent.Length; i++)
                latent[i] *= scale;
        }
        return new(latents, scale, channels, height, width);
    }

    private static float ScaleOf(float[][] latents)
    {
        double sum = 0, squares = 0;
        foreach (var latent in latents)
        {
            foreach (var value in latent)
                (sum, squares) = (sum + value, squares + ((double)value * value));
        }
        var count = (double)latents.Length * latents[0].Length;
        var deviation = Math.Sqrt((squares / count) - Math.Pow(sum / count, 2));
        return (float)(1 / Math.Max(deviation, 1e-6));
    }
}
