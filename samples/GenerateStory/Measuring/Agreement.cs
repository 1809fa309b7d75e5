namespace GenerateStory.Measuring;

/// <summary>How much the pictures of a story agree.</summary>
internal static class Agreement
{
    /// <summary>The share of the pairs of pictures that have the same value.</summary>
    public static double OfPairs(IReadOnlyList<int> values)
    {
        var (same, pairs) = (0, 0);
        for (var i = 0; i < values.Count; i++)
        {
            for (var j = 0; j < i; j++)
                (same, pairs) = (same + (values[i] == values[j] ? 1 : 0), pairs + 1);
        }
        return same / (double)pairs;
    }
}
