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

    private static readonly JsonSerializerOptions Json = new()
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

    /// <summary>Writes the model as diffusers saves a checkpoint, with weights in float32.</summary>
    /// <param name="folder">The folder; files of the same names are replaced.</param>
    public void Save(string folder)
    {
        WritePart("unet", Unet);
        WritePart("text_encoder", TextEncoder);
        WritePart("vae", Autoencoder);
        var tokenizer = Part("tokenizer");
        Tokenizer.Save(tokenizer);
        Write(Path.Combine(tokenizer, "tokenizer_config.json"), new { model_max_length = TextEncoder.MaxPositionEmbeddings });
        Write(Path.Combine(Part("scheduler"), "scheduler_config.json"), Scheduler);
        Write(Path.Combine(folder, "model_index.json"), new
        {
            _class_name = "StableDiffusionPipeline",
            scheduler = (string[])["diffusers", Scheduler.ClassName!],
            text_encoder = (string[])["transformers", "CLIPTextModel"],
            tokenizer = (string[])["transformers", "CLIPTokenizer"],
            unet = (string[])["diffusers", "UNet2DConditionModel"],
            vae = (string[])["diffusers", "AutoencoderKL"],
        });

        string Part(string name) => Directory.CreateDirectory(Path.Combine(folder, name)).FullName;

        void WritePart<TConfig>(string name, TConfig config)
        {
            ConfigFile.Write(Path.Combine(Part(name), "config.json"), config);
            SafetensorsFile.Write(Path.Combine(Part(name), "diffusion_pytorch_model.safetensors"), _weights[name]);
        }

        static void Write<TContent>(string path, TContent content) =>
            File.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(content, Json));
    }
}
