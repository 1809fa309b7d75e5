using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>A text encoder that is open, with its tokenizer.</summary>
internal sealed class TextEncoder : IDisposable
{
    private const string Ids = "input_ids", HiddenStates = "hidden_states.", TextEmbeds = "text_embeds", LastHiddenState = "last_hidden_state";

    private readonly OnnxSession _session;
    private readonly ClipTokenizer _tokenizer;
    private readonly int _tokenCount;

    private TextEncoder(OnnxSession session, ClipTokenizer tokenizer)
    {
        (_session, _tokenizer) = (session, tokenizer);
        var length = session.Inputs[Ids].Dimensions[1];
        _tokenCount = length > 0 ? (int)length : tokenizer.MaxLength;
    }

    /// <param name="environment">Where messages go.</param>
    /// <param name="model">The file of the encoder.</param>
    /// <param name="tokenizerFolder">The folder of its tokenizer.</param>
    /// <param name="options">Where it runs.</param>
    public static TextEncoder Open(IHostEnvironment environment, string model, string tokenizerFolder, OnnxSessionOptions options)
    {
        var tokenizer = ClipTokenizer.Load(tokenizerFolder);
        return new(OnnxSession.Open(environment, ModelContent.FromFile(model), options), tokenizer);
    }

    /// <summary>The states of a text's tokens.</summary>
    /// <param name="prompt">The text.</param>
    /// <param name="places">Receives for each mark the place of its first token.</param>
    /// <param name="penultimate">Whether those of the layer before the last are wanted, which are not normalised.</param>
    /// <param name="pooled">Whether the projected state of the text's end is wanted.</param>
    /// <param name="cancellation">Ends the run.</param>
    /// <exception cref="InvalidDataException">A mark has no word before it, or is beyond the model's last token.</exception>
    public PromptEmbedding Encode(
        MarkedPrompt prompt, Span<int> places, bool penultimate, bool pooled, CancellationToken cancellation)
    {
        var tokens = new int[_tokenCount];
        _tokenizer.Encode(prompt.Tokenize(_tokenizer, places), tokens);
        for (var i = 0; i < places.Length; i++)
        {
            if (places[i] + prompt.PhotoCounts[i] >= _tokenCount)
            {
                throw new InvalidDataException($"The words that reference photos belong to are tokens {places[i]} to "
                    + $"{places[i] + prompt.PhotoCounts[i] - 1} of a prompt, but the model reads {_tokenCount - 1}: shorten '{prompt.Parts[0]}'.");
            }
        }
        float[] ids = [.. tokens];
        using var input = HostValue.Of(ids, _session.Inputs[Ids].ElementType, 1, ids.Length);
        var states = penultimate ? Penultimate() : LastHiddenState;
        string[] wanted = pooled ? [states, TextEmbeds] : [states];
        using var options = new RunOptions();
        using var outputs = _session.Run(options, [Ids], [input], wanted, cancellation);
        return new(HostValue.Read(outputs[0]), _tokenCount, pooled ? HostValue.Read(outputs[1]) : null);
    }

    public void Dispose() => _session.Dispose();

    private string Penultimate()
    {
        int[] layers = [.. _session.OutputNames.Where(name => name.StartsWith(HiddenStates, StringComparison.Ordinal))
            .Select(name => int.Parse(name.AsSpan(HiddenStates.Length)))];
        return layers.Length > 1 ? $"{HiddenStates}{layers.Max() - 1}" : throw new InvalidDataException(
            $"The text encoder has outputs {string.Join(", ", _session.OutputNames)}, but SDXL wants the states of all layers: export it "
            + "with output_hidden_states, as optimum does.");
    }
}
