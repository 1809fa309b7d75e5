using System.Globalization;
using System.Text;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Unicode's normalization form C, which <see cref="string.Normalize()"/> has only where ICU is: not with InvariantGlobalization.
/// </summary>
internal static class CanonicalComposition
{
    private const int HangulFirst = 0xAC00, LeadFirst = 0x1100, VowelFirst = 0x1161, TrailFirst = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TrailCount = 28, HangulCount = LeadCount * VowelCount * TrailCount;

    private static readonly Dictionary<int, int[]> Decompositions = [];
    private static readonly Dictionary<(int First, int Second), int> Compositions = [];
    private static readonly Dictionary<int, byte> CombiningClasses = [];

    static CanonicalComposition()
    {
        using var stream = typeof(CanonicalComposition).Assembly.GetManifestResourceStream("Canonical.txt")!;
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
            AddLine(line);
    }

    /// <summary>The composed form of a text.</summary>
    public static string Compose(string text)
    {
        // Everything below the combining marks is composed already.
        if (!text.AsSpan().ContainsAnyExceptInRange('\0', '\u02FF'))
            return text;
        var points = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes())
            Decompose(rune.Value, points);
        Order(points);
        Compose(points);
        var composed = new StringBuilder(text.Length);
        points.ForEach(point => composed.Append(new Rune(point)));
        return composed.ToString();
    }

    private static void AddLine(string line)
    {
        if (line.StartsWith('#'))
            return;
        var sign = line.AsSpan().IndexOfAny('=', '>', ':');
        if (line[sign] == ':')
        {
            var (dash, value) = (line.IndexOf('-'), byte.Parse(line.AsSpan(sign + 1), provider: CultureInfo.InvariantCulture));
            for (var point = Hex(line.AsSpan(0, dash)); point <= Hex(line.AsSpan(dash + 1, sign - dash - 1)); point++)
                CombiningClasses[point] = value;
            return;
        }
        var (composed, parts) = (Hex(line.AsSpan(0, sign)), line[(sign + 1)..].Split(' ').Select(part => Hex(part)).ToArray());
        Decompositions[composed] = parts;
        if (line[sign] == '=')
            Compositions[(parts[0], parts[1])] = composed;
    }

    private static int Hex(ReadOnlySpan<char> digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static void Decompose(int point, List<int> points)
    {
        var syllable = point - HangulFirst;
        if (syllable is >= 0 and < HangulCount)
        {
            points.Add(LeadFirst + syllable / (VowelCount * TrailCount));
            points.Add(VowelFirst + syllable / TrailCount % VowelCount);
            if (syllable % TrailCount > 0)
                points.Add(TrailFirst + syllable % TrailCount);
        }
        else if (Decompositions.TryGetValue(point, out var parts))
            Array.ForEach(parts, part => Decompose(part, points));
        else
            points.Add(point);
    }

    // Marks after one letter go by their classes, those of one class stay in their order.
    private static void Order(List<int> points)
    {
        for (var i = 1; i < points.Count; i++)
        {
            for (var j = i; j > 0 && Class(points[j]) > 0 && Class(points[j - 1]) > Class(points[j]); j--)
                (points[j - 1], points[j]) = (points[j], points[j - 1]);
        }
    }

    private static void Compose(List<int> points)
    {
        var (kept, starter, lastClass) = (0, -1, 0);
        foreach (var point in points.ToArray())
        {
            var itsClass = Class(point);
            var isAdjacent = starter >= 0 && starter == kept - 1;
            if (starter >= 0 && (isAdjacent || lastClass < itsClass) && Pair(points[starter], point) is { } composed)
            {
                points[starter] = composed;
                continue;
            }
            if (itsClass == 0)
                starter = kept;
            lastClass = itsClass;
            points[kept++] = point;
        }
        points.RemoveRange(kept, points.Count - kept);
    }

    private static int? Pair(int first, int second)
    {
        var (lead, vowel) = (first - LeadFirst, second - VowelFirst);
        if (lead is >= 0 and < LeadCount && vowel is >= 0 and < VowelCount)
            return HangulFirst + (lead * VowelCount + vowel) * TrailCount;
        var (syllable, trail) = (first - HangulFirst, second - TrailFirst);
        if (syllable is >= 0 and < HangulCount && syllable % TrailCount == 0 && trail is > 0 and < TrailCount)
            return first + trail;
        return Compositions.TryGetValue((first, second), out var composed) ? composed : null;
    }

    private static int Class(int point) => CombiningClasses.GetValueOrDefault(point);
}
