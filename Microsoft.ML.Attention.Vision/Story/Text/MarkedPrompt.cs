using System.Text.RegularExpressions;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// A prompt with words, such as <c>man</c> in <c>a man img</c>, that reference photos belong to: tokens before the mark count once a
/// photo, and the mark itself is not read.
/// </summary>
/// <param name="Parts">The text before the first mark, between marks, and after the last.</param>
/// <param name="PhotoCounts">For each mark how many photos there are.</param>
internal sealed partial record MarkedPrompt(IReadOnlyList<string> Parts, IReadOnlyList<int> PhotoCounts)
{
    /// <summary>The mark, a word of its own.</summary>
    public const string Mark = "img";

    /// <summary>A prompt without photos.</summary>
    public static MarkedPrompt Plain(string text) => new([text], []);

    /// <summary>Cuts a prompt at marks.</summary>
    /// <param name="text">The prompt.</param>
    /// <param name="marks">Where marks begin, in order, and how many photos belong to each.</param>
    public static MarkedPrompt Cut(string text, IReadOnlyList<(int Index, int PhotoCount)> marks)
    {
        var (parts, start) = (new List<string>(), 0);
        foreach (var (index, _) in marks)
        {
            parts.Add(text[start..index]);
            start = index + Mark.Length;
        }
        return new([.. parts, text[start..]], [.. marks.Select(mark => mark.PhotoCount)]);
    }

    /// <summary>Where the mark is in what a character looks like; -1 for none.</summary>
    public static int IndexIn(string description) => MarkPattern().Match(description) is { Success: true, Index: var index } ? index : -1;

    /// <summary>The prompt without marks and photos.</summary>
    public MarkedPrompt WithoutPhotos() => Plain(string.Concat(Parts));

    /// <summary>The tokens, without start and end.</summary>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="places">Receives for each mark the place of its first token among all, start counted.</param>
    /// <exception cref="InvalidDataException">There is no word before a mark.</exception>
    public List<int> Tokenize(ClipTokenizer tokenizer, Span<int> places)
    {
        var tokens = tokenizer.Tokenize(Parts[0]);
        for (var i = 0; i < PhotoCounts.Count; i++)
        {
            if (tokens.Count == 0)
                throw new InvalidDataException($"'{Mark}' begins the prompt; write what it is a photo of before it, as in 'a man {Mark}'.");
            places[i] = tokens.Count;
            tokens.AddRange(Enumerable.Repeat(tokens[^1], PhotoCounts[i] - 1));
            tokens.AddRange(tokenizer.Tokenize(Parts[i + 1]));
        }
        return tokens;
    }

    [GeneratedRegex($@"\b{Mark}\b", RegexOptions.CultureInvariant)]
    private static partial Regex MarkPattern();
}
