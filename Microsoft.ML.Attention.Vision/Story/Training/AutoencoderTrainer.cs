using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains the autoencoder of a latent diffusion model: an encoder that makes a small map of few channels from a picture, and a decoder that
/// makes the picture from that. What is made smaller is the mean absolute error of pixels and of their differences to the right and lower
/// neighbours, so that edges stay sharp, and with little weight the divergence of the latents from a standard normal distribution.
/// <para>
/// Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv 2112.10752), without its
/// perceptual and adversarial losses.
/// </para>
/// </summary>
public sealed class AutoencoderTrainer
{
    private const string NoiseInput = "noise";

    private readonly IHost _host;
    private readonly Options _options;

    /// <summary>Creates a trainer.</summary>
    /// <param name="context">The context.</param>
    /// <param name="options">How it trains.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public AutoencoderTrainer(MLContext context, Options options)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _host = ((IHostEnvironment)context).Register(nameof(AutoencoderTrainer));
        _options = options;
    }

    /// <summary>Trains an autoencoder.</summary>
    /// <param name="pictures">Rows with a picture.</param>
    /// <exception cref="InvalidOperationException">There are no pictures, or the training does not converge.</exception>
    /// <exception cref="InvalidDataException">
    /// A picture cannot be decoded or is of a wrong size; the message names row and reason.
    /// </exception>
    /// <exception cref="OperationCanceledException">The training was cancelled.</exception>
    public TrainedAutoencoder Fit(IDataView pictures)
    {
        ArgumentNullException.ThrowIfNull(pictures);
        var reduction = _options.Autoencoder.Reduction;
        var read = TrainingPictures.Read(pictures, _options, captionColumnName: null, reduction);
        var seed = _options.Seed ?? TrainingCheckpoint.FindSeed(_options.CheckpointFolder) ?? _host.Rand.Next();
        var model = Build(seed);
        var noiseLength = _options.Autoencoder.LatentChannels * (read.Height / reduction) * (read.Width / reduction);
        var training = new GenerativeTraining<Batch>(_host, _options, seed)
        {
            Create = () => new(new float[_options.BatchSize * read.ValueCount], new float[_options.BatchSize * noiseLength]),
            Fill = (batch, step, stop) => Parallel.ForAsync(0, _options.BatchSize, stop, (place, _) =>
            {
                var random = new SampleRandom(seed, step, place);
                read.CopyTo(random.Next(read.Count), batch.Pictures.AsSpan(place * read.ValueCount, read.ValueCount));
                foreach (ref var value in batch.Noise.AsSpan(place * noiseLength, noiseLength))
                    value = random.NextNormal();
                return ValueTask.CompletedTask;
            }),
            Load = (batch, trainer) =>
            {
                batch.Pictures.CopyTo(trainer.Input<float>("sample"));
                batch.Noise.CopyTo(trainer.Input<float>(NoiseInput));
            },
        };
        var (trained, trace) = training.Run(TrainingGraph.Build(
            model,
            new Dictionary<string, long>
            {
                ["N"] = _options.BatchSize,
                ["H"] = read.Height,
                ["W"] = read.Width,
                ["h"] = read.Height / reduction,
                ["w"] = read.Width / reduction,
            },
            (builder, outputs) => Loss(builder["sample"], outputs),
            _options.Training));
        var weights = trained.Graph.Initializers.Where(pair => Graph.IsWeight(pair.Key, pair.Value)).ToDictionary();
        return new(_options.Autoencoder, weights, trace);
    }

    private OnnxModel Build(int seed)
    {
        var config = _options.Autoencoder;
        var builder = new GraphBuilder("autoencoder");
        var parameters = new Parameters(builder, new RandomWeights(seed));
        var sample = builder.Input("sample", TensorElementType.Float, ["N", 3, "H", "W"]);
        var moments = AutoencoderKl.Encode(sample, config, parameters).Split(1, config.LatentChannels, config.LatentChannels);
        var (mean, logVariance) = (moments[0], moments[1].Clip(-30, 20));
        var noise = builder.Input(NoiseInput, TensorElementType.Float, ["N", config.LatentChannels, "h", "w"]);
        var latents = mean + ((logVariance * 0.5).Apply("Exp") * noise);
        builder.Output("mean", mean);
        builder.Output("log_variance", logVariance);
        builder.Output("reconstruction", AutoencoderKl.Decode(latents, config, parameters));
        return builder.ToModel();
    }

    private Value Loss(Value sample, IReadOnlyDictionary<string, Value> outputs)
    {
        var error = outputs["reconstruction"] - sample;
        var (mean, logVariance) = (outputs["mean"], outputs["log_variance"]);
        var divergence = ((mean * mean) + logVariance.Apply("Exp") - logVariance - 1) * 0.5;
        return Mean(error.Apply("Abs")) + Mean(Difference(error, 2).Apply("Abs")) + Mean(Difference(error, 3).Apply("Abs"))
            + (Mean(divergence) * _options.DivergenceWeight);
    }

    // Of neighbours along an axis.
    private static Value Difference(Value map, int axis)
    {
        var size = map.Shape[axis].Value;
        return map.Slice(axis, 1, size) - map.Slice(axis, 0, size - 1);
    }

    private static Value Mean(Value value) => value.ReduceMean([0, 1, 2, 3]);

    private sealed record Batch(float[] Pictures, float[] Noise);

    /// <summary>Options for <see cref="AutoencoderTrainer"/>.</summary>
    public sealed class Options : GenerativeTrainerOptions
    {
        /// <summary>The nets.</summary>
        public AutoencoderKlConfig Autoencoder { get; set; } = AutoencoderKl.Variants["sd_nano"];

        /// <summary>
        /// The weight of the latents' divergence from a standard normal distribution, a mean over their elements, beside that of the errors
        /// of pixels in [-1, 1].
        /// </summary>
        public float DivergenceWeight { get; set; } = 1e-4f;

        internal override Dictionary<string, string> Describe(int seed)
        {
            var settings = base.Describe(seed);
            settings[nameof(Autoencoder)] = $"{Autoencoder}";
            settings[nameof(DivergenceWeight)] = FormattableString.Invariant($"{DivergenceWeight}");
            return settings;
        }

        internal override void Validate()
        {
            base.Validate();
            NotBelowZero(DivergenceWeight, nameof(DivergenceWeight));
        }
    }
}
