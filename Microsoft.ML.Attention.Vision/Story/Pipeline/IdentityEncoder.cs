using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>An encoder of reference photos that is open: PhotoMaker's, or one with the same inputs and outputs.</summary>
internal sealed class IdentityEncoder : IDisposable
{
    private const string Photos = "id_pixel_values", Prompt = "prompt_embeds", Mask = "class_tokens_mask", Updated = "updated_prompt_embeds";

    private readonly OnnxSession _session;
    private readonly ImagePreprocessing _preprocessing;

    private IdentityEncoder(OnnxSession session)
    {
        _session = session;
        var size = session.Inputs[Photos].Dimensions[^1] is > 0 and var pixels ? (int)pixels : PhotoMaker.Variants["photomaker_v1"].ImageSize;
        var (mean, deviation) = (PhotoMaker.Mean, PhotoMaker.StandardDeviation);
        _preprocessing = new()
        {
            Height = size, Width = size, ShorterSide = size, Mean = new(mean[0], mean[1], mean[2]),
            StandardDeviation = new(deviation[0], deviation[1], deviation[2]),
        };
    }

    /// <exception cref="InvalidDataException">The model is of another kind.</exception>
    public static IdentityEncoder Open(IHostEnvironment environment, string model, OnnxSessionOptions options)
    {
        var session = OnnxSession.Open(environment, ModelContent.FromFile(model), options);
        if (new[] { Photos, Prompt, Mask }.All(session.Inputs.ContainsKey) && session.OutputNames.Contains(Updated))
            return new(session);
        session.Dispose();
        throw new InvalidDataException($"'{model}' is no encoder of reference photos: expected inputs {Photos}, {Prompt} and {Mask} and "
            + $"output {Updated}, found inputs {string.Join(", ", session.Inputs.Keys)} and outputs {string.Join(", ", session.OutputNames)}.");
    }

    /// <summary>The photos of one person as the encoder reads them, [K, 3, size, size].</summary>
    public float[] Read(IReadOnlyList<MLImage> photos)
    {
        var values = new float[photos.Count * _preprocessing.ValueCount];
        using var picture = new PixelBuffer();
        foreach (var (i, photo) in photos.Index())
        {
            MLImagePixels.Copy(photo, picture);
            _preprocessing.Apply(picture.View, values.AsSpan(i * _preprocessing.ValueCount, _preprocessing.ValueCount));
        }
        return values;
    }

    /// <summary>The prompt in which the states of some tokens, one a photo, also tell of the photos.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="place">The first of these tokens.</param>
    /// <param name="photos">What <see cref="Read"/> made.</param>
    /// <param name="cancellation">Ends the run.</param>
    public PromptEmbedding Fuse(PromptEmbedding prompt, int place, float[] photos, CancellationToken cancellation)
    {
        var (count, width) = (photos.Length / _preprocessing.ValueCount, prompt.Tokens.Length / prompt.TokenCount);
        var mask = new bool[prompt.TokenCount];
        mask.AsSpan(place, count).Fill(true);
        using var photoValue = HostValue.Of(
            photos, _session.Inputs[Photos].ElementType, 1, count, 3, _preprocessing.Height, _preprocessing.Width);
        using var promptValue = HostValue.Of(prompt.Tokens, _session.Inputs[Prompt].ElementType, 1, prompt.TokenCount, width);
        using var maskValue = OrtValue.CreateTensorValueFromMemory(mask, [1, mask.Length]);
        using var options = new RunOptions();
        using var outputs = _session.Run(options, [Photos, Prompt, Mask], [photoValue, promptValue, maskValue], [Updated], cancellation);
        var tokens = new float[prompt.Tokens.Length];
        HostValue.Read(outputs[0], tokens);
        return prompt with { Tokens = tokens };
    }

    public void Dispose() => _session.Dispose();
}
