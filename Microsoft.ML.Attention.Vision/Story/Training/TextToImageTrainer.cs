using Microsoft.ML.Attention.Onnx;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Training;
using Microsoft.ML.Attention.Onnx.Weights;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Runtime;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Trains a text-to-image model from pictures with captions: a text encoder and a U-Net, together, to take noise off the latents that a
/// trained autoencoder makes of the pictures. The U-Net predicts the velocity (v) at noise of all strengths, up to noise alone; some of the
/// captions are left out, so that classifier-free guidance works.
/// <para>
/// Sources: Rombach et al., CVPR 2022 (arXiv 2112.10752); Salimans and Ho, ICLR 2022 (arXiv 2202.00512) for the velocity; Lin et al., WACV
/// 2024 (arXiv 2305.08891) for noise that ends at no signal; Ho and Salimans (arXiv 2207.12598) for guidance.
/// </para>
/// </summary>
public sealed class TextToImageTrainer
{
    private const string TextEncoderPrefix = "text_encoder", UnetPrefix = "unet";

    private readonly IHost _host;
    private readonly Options _options;

    /// <summary>Creates a trainer.</summary>
    /// <param name="context">The context.</param>
    /// <param name="options">How it trains.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public TextToImageTrainer(MLContext context, Options options)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _host = ((IHostEnvironment)context).Register(nameof(TextToImageTrainer));
        _options = options;
    }

    /// <summary>Trains text encoder and U-Net.</summary>
    /// <param name="pictures">Rows with a picture and one caption or several, of which one is drawn at a time.</param>
    /// <param name="autoencoder">What makes latents of pictures; it stays as it is.</param>
    /// <exception cref="InvalidOperationException">There are no pictures, or the training does not converge.</exception>
    /// <exception cref="InvalidDataException">
    /// A picture cannot be decoded or is of a wrong size; the message names row and reason.
    /// </exception>
    /// <exception cref="OperationCanceledException">The training was cancelled.</exception>
    public TextToImageModel Fit(IDataView pictures, TrainedAutoencoder autoencoder)
    {
        ArgumentNullException.ThrowIfNull(pictures);
        ArgumentNullException.ThrowIfNull(autoencoder);
        var read = TrainingPictures.Read(pictures, _options, _options.CaptionColumnName, autoencoder.Config.Reduction);
        var latents = PictureLatents.Encode(_host, read, autoencoder, _options);
        var tokenizer = CaptionVocabulary.Learn(read.Captions, _options.MergeCount);
        var textEncoder = _options.TextEncoder with { VocabSize = tokenizer.Vocabulary.Count, EosTokenId = tokenizer.End };
        var seed = _options.Seed ?? TrainingCheckpoint.FindSeed(_options.CheckpointFolder) ?? _host.Rand.Next();
        var batches = new DiffusionBatches(latents, read, tokenizer, _options, textEncoder.MaxPositionEmbeddings, seed);
        var training = new GenerativeTraining<DiffusionBatch>(_host, _options, seed)
        {
            Create = batches.Create,
            Fill = batches.Fill,
            Load = (batch, trainer) =>
            {
                batch.Sample.CopyTo(trainer.Input<float>("sample"));
                batch.Timestep.CopyTo(trainer.Input<long>("timestep"));
                batch.InputIds.CopyTo(trainer.Input<long>("input_ids"));
                batch.Target.CopyTo(trainer.Input<float>("target"));
            },
        };
        var (trained, trace) = training.Run(TrainingGraph.Build(
            Build(textEncoder, latents, seed),
            new Dictionary<string, long> { ["N"] = _options.BatchSize },
            (builder, outputs) => Losses.MeanSquaredError(
                outputs["out_sample"], builder.Input("target", TensorElementType.Float, outputs["out_sample"].Shape)),
            _options.Training));
        return new(
            _options.Unet with { SampleSize = latents.Height }, textEncoder,
            autoencoder.Config with { ScalingFactor = latents.ScalingFactor, SampleSize = read.Height }, tokenizer,
            new()
            {
                ["unet"] = WeightsOf(trained, UnetPrefix),
                ["text_encoder"] = WeightsOf(trained, TextEncoderPrefix),
                ["vae"] = autoencoder.Weights,
            },
            trace);
    }

    private OnnxModel Build(ClipTextConfig textEncoder, PictureLatents latents, int seed)
    {
        var builder = new GraphBuilder("text_to_image");
        var parameters = new Parameters(builder, new RandomWeights(seed));
        var sample = builder.Input("sample", TensorElementType.Float, ["N", latents.Channels, latents.Height, latents.Width]);
        var timestep = builder.Input("timestep", TensorElementType.Int64, ["N"]);
        var inputIds = builder.Input("input_ids", TensorElementType.Int64, ["N", textEncoder.MaxPositionEmbeddings]);
        var states = ClipTextEncoder.Net(inputIds, textEncoder, parameters[TextEncoderPrefix]).LastHiddenState;
        builder.Output("out_sample", UNet2DCondition.Net(sample, timestep, states, _options.Unet, parameters[UnetPrefix]));
        return builder.ToModel();
    }

    private static Dictionary<string, Tensor> WeightsOf(OnnxModel trained, string module) => trained.Graph.Initializers
        .Where(pair => pair.Key.StartsWith(module + '.', StringComparison.Ordinal) && Graph.IsWeight(pair.Key, pair.Value))
        .ToDictionary(pair => pair.Key[(module.Length + 1)..], pair => pair.Value);

    /// <summary>Options for <see cref="TextToImageTrainer"/>.</summary>
    public sealed class Options : GenerativeTrainerOptions
    {
        /// <summary>The column of captions: text, or vectors of text.</summary>
        public string CaptionColumnName { get; set; } = "Caption";

        /// <summary>The U-Net, which predicts velocities from latents of the autoencoder's channels.</summary>
        public UNet2DConditionConfig Unet { get; set; } = UNet2DCondition.Variants["sd_nano"];

        /// <summary>The text encoder; its vocabulary becomes that of the captions.</summary>
        public ClipTextConfig TextEncoder { get; set; } = ClipTextEncoder.Variants["clip_nano"];

        /// <summary>The number of merges of byte pairs that the vocabulary learns from the captions, at most.</summary>
        public int MergeCount { get; set; } = 512;

        /// <summary>The share of captions that are left out, in [0, 1).</summary>
        public double CaptionDropRate { get; set; } = 0.1;

        internal override Dictionary<string, string> Describe(int seed)
        {
            var settings = base.Describe(seed);
            settings[nameof(Unet)] = $"{Unet}";
            settings[nameof(TextEncoder)] = $"{TextEncoder}";
            settings[nameof(MergeCount)] = $"{MergeCount}";
            settings[nameof(CaptionDropRate)] = FormattableString.Invariant($"{CaptionDropRate}");
            return settings;
        }

        internal override void Validate()
        {
            base.Validate();
            NotBelowZero(MergeCount, nameof(MergeCount));
            if (CaptionDropRate is not (>= 0 and < 1))
            {
                throw new ArgumentException(
                    FormattableString.Invariant($"{nameof(CaptionDropRate)} is {CaptionDropRate}; it must be in [0, 1)."));
            }
        }
    }
}
