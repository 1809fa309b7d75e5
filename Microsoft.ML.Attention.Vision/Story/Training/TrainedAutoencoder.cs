using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;

namespace Microsoft.ML.Attention.Vision;

/// <summary>An autoencoder that <see cref="AutoencoderTrainer"/> trained.</summary>
public sealed class TrainedAutoencoder
{
    internal TrainedAutoencoder(AutoencoderKlConfig config, IReadOnlyDictionary<string, Tensor> weights, TrainingTrace trace)
    {
        (Config, Weights, Trace) = (config, weights, trace);
        var checkpoint = new Checkpoint(weights, "the trained autoencoder");
        Encoder = AutoencoderKl.BuildEncoder(config, checkpoint);
        Decoder = AutoencoderKl.BuildDecoder(config, checkpoint);
    }

    /// <summary>The nets.</summary>
    public AutoencoderKlConfig Config { get; }

    /// <summary>
    /// Makes latents of pictures: <c>sample</c> [N, 3, H, W] in [-1, 1] to <c>latent_parameters</c>, means and log variances.
    /// </summary>
    public OnnxModel Encoder { get; }

    /// <summary>Makes pictures of latents: <c>latent_sample</c> [N, C, h, w] to <c>sample</c> [N, 3, H, W] in [-1, 1].</summary>
    public OnnxModel Decoder { get; }

    /// <summary>The losses of the training; empty for one that was read from a file.</summary>
    public TrainingTrace Trace { get; }

    internal IReadOnlyDictionary<string, Tensor> Weights { get; }

    /// <summary>Writes the weights to a safetensors file.</summary>
    /// <param name="path">The file.</param>
    public void Save(string path) => SafetensorsFile.Write(path, Weights);

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <param name="config">The nets.</param>
    /// <exception cref="InvalidDataException">The weights do not fit; the message lists every difference.</exception>
    public static TrainedAutoencoder Load(string path, AutoencoderKlConfig config)
    {
        using var file = SafetensorsFile.Open(path);
        return new(config, file.ReadAll(), new([], []));
    }
}
