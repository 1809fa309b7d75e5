using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Learns the vocabulary of a tokenizer from captions: the pair of neighbouring tokens that is most frequent within words becomes a
/// token, again
/// and again.
/// <para>
/// Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016 (arXiv 1508.07909), over bytes as
/// in GPT-2 and
/// CLIP.
/// </para>
/// </summary>
internal static class CaptionVocabulary
{
    /// <summary>Learns at most so many merges; fewer where no pair is left that occurs twice.</summary>
    public static ClipTokenizer Learn(IEnumerable<string> captions, int mergeCount)
    {
        var words = CountWords(captions).OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .Select(pair => (Tokens: ClipTokenizer.LettersOf(pair.Key), pair.Value)).ToArray();
        var merges = new List<(string Left, string Right)>();
        while (merges.Count < mergeCount && MostFrequentPair(words) is { } pair)
        {
            merges.Add(pair);
            foreach (var (tokens, _) in words)
                Merge(tokens, pair);
        }
        return ClipTokenizer.FromMerges(merges);
    }

    private static Dictionary<string, int> CountWords(IEnumerable<string> captions)
    {
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var caption in captions)
        {
            foreach (var word in ClipText.Cut(ClipText.Clean(caption, default)))
                CollectionsMarshal.GetValueRefOrAddDefault(counts, word, out _)++;
        }
        return counts;
    }

    // Of equally frequent ones the first in ordinal order.
    private static (string Left, string Right)? MostFrequentPair((List<string> Tokens, int Count)[] words)
    {
        var counts = new Dictionary<(string, string), int>();
        foreach (var (tokens, count) in words)
        {
            for (var i = 1; i < tokens.Count; i++)
                CollectionsMarshal.GetValueRefOrAddDefault(counts, (tokens[i - 1], tokens[i]), out _) += count;
        }
        (string, string)? best = null;
        foreach (var (pair, count) in counts)
        {
            if (count > 1 && (best is null || count > counts[best.Value] || (count == counts[best.Value] && IsBefore(pair, best.Value))))
                best = pair;
        }
        return best;
    }

    private static bool IsBefore((string Left, string Right) pair, (string Left, string Right) other)
    {
        var left = string.CompareOrdinal(pair.Left, other.Left);
        return left < 0 || (left == 0 && string.CompareOrdinal(pair.Right, other.Right) < 0);
    }

    private static void Merge(List<string> tokens, (string Left, string Right) pair)
    {
        for (var i = 1; i < tokens.Count; i++)
        {
            if (tokens[i - 1] != pair.Left || tokens[i] != pair.Right)
                continue;
            tokens[i - 1] += tokens[i];
            tokens.RemoveAt(i);
        }
    }
}
