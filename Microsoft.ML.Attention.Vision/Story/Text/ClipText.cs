using System.Globalization;
using System.Net;
using System.Text;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Cleaning and cutting of text as CLIP's tokenizers do it, by code points.</summary>
internal static class ClipText
{
    public const string StartToken = "<|startoftext|>", EndToken = "<|endoftext|>";

    private const int CapitalSigma = 0x3A3, FinalSigma = 0x3C2, CapitalDottedI = 0x130;

    // What is cut off as a whole wherever it begins: the special tokens and English suffixes.
    private static readonly string[] Units = [StartToken, EndToken, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    // Besides marks, format characters and modifiers: what may stand inside a word.
    private static readonly Rune[] InsideWords =
        [.. "'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A".EnumerateRunes()];

    private static readonly (int First, int Last)[] Ideographs =
    [
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF),
        (0x2F800, 0x2FA1F),
    ];

    public static string Clean(string text, ClipTextCleaning cleaning) => cleaning switch
    {
        ClipTextCleaning.HuggingFace => ToLower(JoinWords(CanonicalComposition.Compose(WithoutControls(text)))),
        ClipTextCleaning.HuggingFaceFast => ToLower(JoinWords(CanonicalComposition.Compose(text))),
        ClipTextCleaning.OpenAI => ToLower(JoinWords(WebUtility.HtmlDecode(WebUtility.HtmlDecode(text)))),
        _ => throw new ArgumentOutOfRangeException(nameof(cleaning), cleaning, "Unknown cleaning of text."),
    };

    /// <summary>
    /// Cuts clean text into what byte pairs are merged in: runs of letters, single digits, apostrophe suffixes and runs of other signs.
    /// </summary>
    public static IEnumerable<string> Cut(string text)
    {
        for (var start = 0; start < text.Length;)
        {
            var length = PieceLength(text.AsSpan(start), out var isWhiteSpace);
            if (!isWhiteSpace)
                yield return text.Substring(start, length);
            start += length;
        }
    }

    /// <summary>Lower case by the full rules of Unicode: a sigma at a word's end, and a dotted I that becomes two characters.</summary>
    public static string ToLower(string text)
    {
        if (text.AsSpan().IndexOfAny((char)CapitalSigma, (char)CapitalDottedI) < 0)
            return text.ToLowerInvariant();
        Rune[] runes = [.. text.EnumerateRunes()];
        var lower = new StringBuilder(text.Length + 1);
        for (var i = 0; i < runes.Length; i++)
        {
            if (runes[i].Value == CapitalDottedI)
                lower.Append("i\u0307");
            else
                lower.Append(runes[i].Value == CapitalSigma && EndsWord(runes, i) ? new Rune(FinalSigma) : Rune.ToLowerInvariant(runes[i]));
        }
        return lower.ToString();
    }

    private static int PieceLength(ReadOnlySpan<char> text, out bool isWhiteSpace)
    {
        isWhiteSpace = false;
        foreach (var unit in Units)
        {
            if (text.StartsWith(unit, StringComparison.OrdinalIgnoreCase))
                return unit.Length;
        }
        Rune.DecodeFromUtf16(text, out var rune, out var length);
        isWhiteSpace = Rune.IsWhiteSpace(rune);
        if (isWhiteSpace || Rune.IsNumber(rune))
            return length;
        var isLetter = Rune.IsLetter(rune);
        while (length < text.Length)
        {
            Rune.DecodeFromUtf16(text[length..], out rune, out var next);
            if (isLetter ? !Rune.IsLetter(rune) : Rune.IsLetter(rune) || Rune.IsNumber(rune) || Rune.IsWhiteSpace(rune))
                break;
            length += next;
        }
        return length;
    }

    private static string WithoutControls(string text)
    {
        var kept = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            if (rune.Value is '\t' or '\n' or '\r' || Rune.GetUnicodeCategory(rune) == UnicodeCategory.SpaceSeparator)
                kept.Append(' ');
            else if (Array.Exists(Ideographs, range => rune.Value >= range.First && rune.Value <= range.Last))
                kept.Append(' ').Append(rune).Append(' ');
            else if (rune != Rune.ReplacementChar && !IsControl(Rune.GetUnicodeCategory(rune)))
                kept.Append(rune);
        }
        return kept.ToString();
    }

    private static bool IsControl(UnicodeCategory category) => category is UnicodeCategory.Control or UnicodeCategory.Format
        or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned;

    private static string JoinWords(string text)
    {
        var joined = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            if (!Rune.IsWhiteSpace(rune))
                joined.Append(rune);
            else if (joined.Length > 0 && joined[^1] != ' ')
                joined.Append(' ');
        }
        return joined.ToString().TrimEnd(' ');
    }

    // Whether a letter with case comes before, and none after, what may stand inside words left aside.
    private static bool EndsWord(ReadOnlySpan<Rune> runes, int index)
    {
        var (before, after) = (index - 1, index + 1);
        while (before >= 0 && IsCaseIgnorable(runes[before]))
            before--;
        while (after < runes.Length && IsCaseIgnorable(runes[after]))
            after++;
        return before >= 0 && IsCased(runes[before]) && (after == runes.Length || !IsCased(runes[after]));
    }

    private static bool IsCaseIgnorable(Rune rune) => Array.IndexOf(InsideWords, rune) >= 0 || Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format or UnicodeCategory.ModifierLetter
        or UnicodeCategory.ModifierSymbol;

    private static bool IsCased(Rune rune) => Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter;
}
