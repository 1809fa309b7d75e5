using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Onnx.Weights;
using Tensor = Microsoft.ML.Attention.Onnx.Tensor;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A text-to-image model that <see cref="TextToImageTrainer"/> trained.</summary>
public sealed class TextToImageModel
{
    /// <summary>The noise of the training.</summary>
    internal static readonly SchedulerConfig Scheduler = new()
    {
        ClassName = "DDIMScheduler",
        BetaStart = 0.00085,
        BetaEnd = 0.012,
        BetaSchedule = "scaled_linear",
        PredictionType = "v_prediction",
        TimestepSpacing = "trailing",
        RescaleBetasZeroSnr = true,
        ClipSample = false,
    };

    private static readonly JsonSerializerOptions JsonOptions = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        WriteIndented = true,
    };

    private readonly Dictionary<string, IReadOnlyDictionary<string, Tensor>> _weights;

    internal TextToImageModel(
        UNet2DConditionConfig unet, ClipTextConfig textEncoder, AutoencoderKlConfig autoencoder, ClipTokenizer tokenizer,
        Dictionary<string, IReadOnlyDictionary<string, Tensor>> weights, TrainingTrace trace)
    {
        (Unet, TextEncoder, Autoencoder, Tokenizer, _weights, Trace) = (unet, textEncoder, autoencoder, tokenizer, weights, trace);
    }

    /// <summary>The U-Net's hyper-parameters.</summary>
    public UNet2DConditionConfig Unet { get; }

    /// <summary>The text encoder's hyper-parameters.</summary>
    public ClipTextConfig TextEncoder { get; }

    /// <summary>The autoencoder's hyper-parameters, with the scaling factor of the latents.</summary>
    public AutoencoderKlConfig Autoencoder { get; }

    /// <summary>The losses of the training.</summary>
    public TrainingTrace Trace { get; }

    internal ClipTokenizer Tokenizer { get; }

    /// <summary>Writes the model as the story generator reads it: a folder in the layout of Hugging Face optimum.</summary>
    /// <param name="folder">The folder; files of the same names are replaced.</param>
    /// <param name="halfStorage">Whether weights are kept in float16, in half the space; they become float32 when the model is opened.</param>
    public void Save(string folder, bool halfStorage = true)
    {
        Checkpoint unet = Weights("unet"), textEncoder = Weights("text_encoder"), autoencoder = Weights("vae");
        DiffusionFolder.Write(folder, new()
        {
            Unet = UNet2DCondition.Build(Unet, unet),
            UnetConfig = Unet,
            TextEncoders = [ClipTextEncoder.Build(TextEncoder, textEncoder)],
            TextConfigs = [TextEncoder],
            VaeDecoder = AutoencoderKl.BuildDecoder(Autoencoder, autoencoder),
            VaeConfig = Autoencoder,
            Tokenizers =
            [
                new Dictionary<string, byte[]>(Tokenizer.ToFiles())
                {
                    ["tokenizer_config.json"] = Json(new { model_max_length = TextEncoder.MaxPositionEmbeddings }),
                },
            ],
            SchedulerConfig = Encoding.UTF8.GetString(Json(Scheduler)),
        }, halfStorage);

        Checkpoint Weights(string module) => new(_weights[module], $"the trained {module}");

        static byte[] Json<T>(T content) => JsonSerializer.SerializeToUtf8Bytes(content, JsonOptions);
    }
}
