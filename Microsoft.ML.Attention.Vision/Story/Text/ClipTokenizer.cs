using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// CLIP's tokenizer: byte pairs of lower-case text, merged in the order that a table of merges ranks them
/// (Radford et al., arXiv 2103.00020; openai/CLIP).
/// </summary>
internal sealed class ClipTokenizer
{
    private const int ClipLength = 77;

    private const string WordEnd = "</w>", StartToken = ClipText.StartToken, EndToken = ClipText.EndToken;

    // The bytes in the order of the vocabulary, each with the character that stands for it: printable ones for themselves.
    private static readonly (byte Byte, char Character)[] ByteCharacters = OrderBytes();

    private static readonly JsonSerializerOptions UnescapedJson = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Dictionary<string, int> _vocabulary;
    private readonly Dictionary<(int Left, int Right), (int Rank, int Merged)> _merges = [];
    private readonly int[] _letters = new int[256], _lastLetters = new int[256];

    private ClipTokenizer(Dictionary<string, int> vocabulary, IEnumerable<(string Left, string Right)> merges, string padding = EndToken)
    {
        _vocabulary = vocabulary;
        (Start, End, Padding) = (Id(StartToken), Id(EndToken), Id(padding));
        foreach (var (value, character) in ByteCharacters)
            (_letters[value], _lastLetters[value]) = (Id(character.ToString()), Id(character + WordEnd));
        foreach (var (left, right) in merges)
            _merges.TryAdd((Id(left), Id(right)), (_merges.Count, Id(left + right)));
    }

    /// <summary>The token before every text.</summary>
    public int Start { get; }

    /// <summary>The token after every text.</summary>
    public int End { get; }

    /// <summary>The token that short texts are filled up with: 49407 in CLIP's own tokenizer, 0 in the second one of SDXL.</summary>
    public int Padding { get; }

    /// <summary>How text is cleaned.</summary>
    public ClipTextCleaning Cleaning { get; init; }

    /// <summary>The number of tokens of a text with start, end and padding.</summary>
    public int MaxLength { get; init; } = ClipLength;

    /// <summary>The tokens and their numbers.</summary>
    public IReadOnlyDictionary<string, int> Vocabulary => _vocabulary;

    /// <summary>
    /// Reads <c>vocab.json</c> and <c>merges.txt</c> of a folder, and where there are <c>special_tokens_map.json</c> and
    /// <c>tokenizer_config.json</c> the token to pad with and the length to pad to.
    /// </summary>
    /// <exception cref="IOException">A file is missing.</exception>
    /// <exception cref="InvalidDataException">A file is damaged, or the two do not belong together.</exception>
    public static ClipTokenizer Load(string folder)
    {
        var vocabularyFile = Path.Combine(folder, "vocab.json");
        Dictionary<string, int> vocabulary;
        try
        {
            vocabulary = JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllBytes(vocabularyFile))!;
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"'{vocabularyFile}' is not a vocabulary, a JSON object of tokens and their numbers: {e.Message}", e);
        }
        var merges = ReadMerges(File.ReadLines(Path.Combine(folder, "merges.txt")));
        var padding = Setting(Path.Combine(folder, "special_tokens_map.json"), "pad_token");
        var length = Setting(Path.Combine(folder, "tokenizer_config.json"), "model_max_length");
        return new(vocabulary, merges, padding is { } token ? TokenOf(token) : EndToken) { MaxLength = length?.GetInt32() ?? ClipLength };
    }

    /// <summary>A tokenizer whose vocabulary is the bytes, the merges and the two special tokens, in this order.</summary>
    /// <param name="merges">The pairs, most frequent first.</param>
    /// <param name="cleaning">How text is cleaned.</param>
    /// <param name="padding">The token to pad with.</param>
    public static ClipTokenizer FromMerges(
        IReadOnlyList<(string Left, string Right)> merges, ClipTextCleaning cleaning = default, string padding = EndToken)
    {
        string[] tokens =
        [
            .. ByteCharacters.Select(letter => letter.Character.ToString()),
            .. ByteCharacters.Select(letter => letter.Character + WordEnd),
            .. merges.Select(merge => merge.Left + merge.Right),
            StartToken,
            EndToken,
        ];
        var vocabulary = new Dictionary<string, int>(tokens.Length);
        for (var i = 0; i < tokens.Length; i++)
            vocabulary.TryAdd(tokens[i], i);
        return new(vocabulary, merges, padding) { Cleaning = cleaning };
    }

    /// <summary>The pairs in the lines of a <c>merges.txt</c>, whose first line is a heading.</summary>
    /// <exception cref="InvalidDataException">A line is not a pair.</exception>
    public static IEnumerable<(string Left, string Right)> ReadMerges(IEnumerable<string> lines) =>
        lines.Skip(1).Where(line => line.Length > 0).Select(line => line.Split(' ') is [var left, var right]
            ? (left, right)
            : throw new InvalidDataException($"'{line}' in merges.txt is not two tokens with a space between them."));

    /// <summary>The tokens of single bytes that a piece of text consists of, before any merge.</summary>
    public static List<string> LettersOf(string piece)
    {
        var letters = new List<string>();
        foreach (var value in Encoding.UTF8.GetBytes(piece))
            letters.Add(Array.Find(ByteCharacters, letter => letter.Byte == value).Character.ToString());
        letters[^1] += WordEnd;
        return letters;
    }

    /// <summary>The contents of <c>vocab.json</c> and <c>merges.txt</c> by name, as <see cref="Load"/> reads them.</summary>
    public IReadOnlyDictionary<string, byte[]> ToFiles()
    {
        var tokens = _vocabulary.ToDictionary(pair => pair.Value, pair => pair.Key);
        string[] merges =
        [
            "#version: 0.2",
            .. _merges.OrderBy(merge => merge.Value.Rank).Select(merge => $"{tokens[merge.Key.Left]} {tokens[merge.Key.Right]}"),
        ];
        return new Dictionary<string, byte[]>
        {
            ["vocab.json"] = JsonSerializer.SerializeToUtf8Bytes(
                _vocabulary.OrderBy(pair => pair.Value).ToDictionary(), UnescapedJson),
            ["merges.txt"] = Encoding.UTF8.GetBytes(string.Join('\n', merges) + '\n'),
        };
    }

    /// <summary>Writes <see cref="ToFiles"/> to a folder.</summary>
    public void Save(string folder)
    {
        foreach (var (name, content) in ToFiles())
            File.WriteAllBytes(Path.Combine(folder, name), content);
    }

    /// <summary>The tokens of a text, without start and end.</summary>
    public List<int> Tokenize(string text)
    {
        var tokens = new List<int>();
        for (var start = 0; start < text.Length;)
        {
            var (index, special) = NextSpecial(text, start);
            foreach (var piece in ClipText.Cut(ClipText.Clean(text[start..index], Cleaning)))
                AddPiece(piece, tokens);
            if (special is not null)
                tokens.Add(Id(special));
            start = index + (special?.Length ?? 0);
        }
        return tokens;
    }

    /// <summary>Start, the tokens of a text and end, cut or filled up to a length.</summary>
    /// <param name="text">The text.</param>
    /// <param name="destination">Receives the tokens; 77 for CLIP.</param>
    public void Encode(string text, Span<int> destination) => Encode(Tokenize(text), destination);

    /// <summary>Start, tokens and end, cut or filled up to a length.</summary>
    public void Encode(List<int> body, Span<int> destination)
    {
        var tokens = CollectionsMarshal.AsSpan(body);
        tokens = tokens[..Math.Min(tokens.Length, destination.Length - 2)];
        destination.Fill(Padding);
        destination[0] = Start;
        tokens.CopyTo(destination[1..]);
        destination[tokens.Length + 1] = End;
    }

    private static (int Index, string? Token) NextSpecial(string text, int start)
    {
        var (first, last) = (text.IndexOf(StartToken, start, StringComparison.Ordinal), text.IndexOf(EndToken, start, StringComparison.Ordinal));
        if (first >= 0 && (last < 0 || first < last))
            return (first, StartToken);
        return last >= 0 ? (last, EndToken) : (text.Length, null);
    }

    private void AddPiece(string piece, List<int> tokens)
    {
        if (piece is StartToken or EndToken)
        {
            tokens.Add(Id(piece));
            return;
        }
        var (first, bytes) = (tokens.Count, Encoding.UTF8.GetBytes(piece));
        foreach (var value in bytes.AsSpan(0, bytes.Length - 1))
            tokens.Add(_letters[value]);
        tokens.Add(_lastLetters[bytes[^1]]);
        while (LowestPair(CollectionsMarshal.AsSpan(tokens)[first..]) is var (left, right))
            MergeAll(tokens, first, left, right);
    }

    private (int Left, int Right)? LowestPair(ReadOnlySpan<int> word)
    {
        (int Left, int Right)? lowest = null;
        var lowestRank = int.MaxValue;
        for (var i = 1; i < word.Length; i++)
        {
            if (_merges.TryGetValue((word[i - 1], word[i]), out var merge) && merge.Rank < lowestRank)
                (lowest, lowestRank) = ((word[i - 1], word[i]), merge.Rank);
        }
        return lowest;
    }

    private void MergeAll(List<int> tokens, int first, int left, int right)
    {
        var merged = _merges[(left, right)].Merged;
        var kept = first;
        for (var i = first; i < tokens.Count; i++)
        {
            var isPair = i + 1 < tokens.Count && tokens[i] == left && tokens[i + 1] == right;
            tokens[kept++] = isPair ? merged : tokens[i];
            if (isPair)
                i++;
        }
        tokens.RemoveRange(kept, tokens.Count - kept);
    }

    private int Id(string token) => _vocabulary.TryGetValue(token, out var id)
        ? id
        : throw new InvalidDataException($"Token '{token}' is not in the vocabulary of {_vocabulary.Count} tokens: is it CLIP's, and do "
            + "vocab.json and merges.txt belong together?");

    private static JsonElement? Setting(string file, string name)
    {
        if (!File.Exists(file))
            return null;
        using var json = JsonDocument.Parse(File.ReadAllBytes(file));
        return json.RootElement.TryGetProperty(name, out var value) ? value.Clone() : null;
    }

    // A token is text, or an object with the text and how it is treated.
    private static string TokenOf(JsonElement token) =>
        (token.ValueKind == JsonValueKind.Object ? token.GetProperty("content") : token).GetString()!;

    private static (byte Byte, char Character)[] OrderBytes()
    {
        byte[] all = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];
        var printable = Array.FindAll(all, value => value is (>= (byte)'!' and <= (byte)'~') or (>= 0xA1 and not 0xAD));
        var others = all.Except(printable);
        return [.. printable.Select(v => (v, (char)v)), .. others.Select((v, i) => (v, (char)(256 + i)))];
    }
}
