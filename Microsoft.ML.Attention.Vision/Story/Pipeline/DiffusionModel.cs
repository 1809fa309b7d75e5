using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A text-to-image model that is open for stories. Any number of threads may use it at once.</summary>
internal sealed class DiffusionModel : IDisposable
{
    private DiffusionModel(
        DiffusionFolder folder, PromptEncoder encoder, StoryUnet unet, LatentDecoder decoder, IdentityEncoder? identityEncoder)
    {
        (Encoder, Unet, Decoder, IdentityEncoder) = (encoder, unet, decoder, identityEncoder);
        Scheduler = SchedulerConfig.Load(folder.Scheduler);
        TrainedSize = folder.ReadUnetConfig().SampleSize * decoder.Reduction;
        IsXl = folder.TextEncoders.Count > 1;
    }

    public SchedulerConfig Scheduler { get; }

    /// <summary>Height and width in pixels of the pictures that the model was trained on.</summary>
    public int TrainedSize { get; }

    /// <summary>Whether the model is of SDXL's kind, which is told sizes.</summary>
    public bool IsXl { get; }

    public PromptEncoder Encoder { get; }

    public StoryUnet Unet { get; }

    public LatentDecoder Decoder { get; }

    /// <summary>What reads reference photos, where the model has it.</summary>
    public IdentityEncoder? IdentityEncoder { get; }

    /// <summary>Opens all parts of a folder.</summary>
    public static DiffusionModel Open(IHostEnvironment environment, string folder, StoryOptions options, OnnxSessionOptions session)
    {
        var files = DiffusionFolder.Open(folder);
        var groupCount = options.Guidance > 1 && !options.GuidanceApart ? 2 : 1;
        var parts = new Stack<IDisposable>();
        try
        {
            return new(
                files,
                Opened(PromptEncoder.Open(environment, files, session)),
                Opened(StoryUnet.Open(environment, files.Unet, groupCount, options.FreeU, session)),
                Opened(LatentDecoder.Open(environment, files, session)),
                files.IdEncoder is { } idEncoder ? Opened(IdentityEncoder.Open(environment, idEncoder, session)) : null);
        }
        catch
        {
            foreach (var part in parts)
                part.Dispose();
            throw;
        }

        T Opened<T>(T part)
            where T : IDisposable
        {
            parts.Push(part);
            return part;
        }
    }

    public void Dispose()
    {
        IdentityEncoder?.Dispose();
        Decoder.Dispose();
        Unet.Dispose();
        Encoder.Dispose();
    }
}
