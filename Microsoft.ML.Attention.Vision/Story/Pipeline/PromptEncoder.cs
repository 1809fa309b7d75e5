using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>The text encoders of a model: one of Stable Diffusion, two of SDXL.</summary>
internal sealed class PromptEncoder : IDisposable
{
    private readonly TextEncoder[] _encoders;

    private PromptEncoder(TextEncoder[] encoders) => _encoders = encoders;

    /// <summary>Opens the encoders that a model's folder has.</summary>
    public static PromptEncoder Open(IHostEnvironment environment, DiffusionFolder folder, OnnxSessionOptions options)
    {
        var encoders = new List<TextEncoder>();
        try
        {
            foreach (var (model, tokenizer) in folder.TextEncoders.Zip(folder.Tokenizers))
                encoders.Add(TextEncoder.Open(environment, model, tokenizer, options));
            return new([.. encoders]);
        }
        catch
        {
            encoders.ForEach(encoder => encoder.Dispose());
            throw;
        }
    }

    /// <summary>What the UNet is told of a prompt.</summary>
    public PromptEmbedding Encode(string prompt, CancellationToken cancellation) =>
        Encode(MarkedPrompt.Plain(prompt), cancellation).Embedding;

    /// <summary>What the UNet is told of a prompt, and for each mark the place of its first token.</summary>
    /// <exception cref="InvalidDataException">A mark has no word before it, or is beyond the model's last token.</exception>
    public (PromptEmbedding Embedding, int[] Places) Encode(MarkedPrompt prompt, CancellationToken cancellation)
    {
        var places = new int[prompt.PhotoCounts.Count];
        if (_encoders is [var only])
            return (only.Encode(prompt, places, penultimate: false, pooled: false, cancellation), places);
        var first = _encoders[0].Encode(prompt, places, penultimate: true, pooled: false, cancellation);
        var second = _encoders[1].Encode(prompt, places, penultimate: true, pooled: true, cancellation);
        return (new(Beside(first, second), first.TokenCount, second.Pooled), places);
    }

    public void Dispose() => Array.ForEach(_encoders, encoder => encoder.Dispose());

    // Each token's states of one encoder and then those of the other.
    private static float[] Beside(PromptEmbedding first, PromptEmbedding second)
    {
        var states = new List<float>(first.Tokens.Length + second.Tokens.Length);
        var (width, otherWidth) = (first.Tokens.Length / first.TokenCount, second.Tokens.Length / second.TokenCount);
        for (var token = 0; token < first.TokenCount; token++)
        {
            states.AddRange(first.Tokens.AsSpan(token * width, width));
            states.AddRange(second.Tokens.AsSpan(token * otherWidth, otherWidth));
        }
        return [.. CollectionsMarshal.AsSpan(states)];
    }
}
