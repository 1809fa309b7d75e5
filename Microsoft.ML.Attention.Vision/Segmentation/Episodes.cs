namespace Microsoft.ML.Attention.Vision;

/// <summary>A query, its supports and what they have in common.</summary>
/// <param name="Label">The label of the class.</param>
/// <param name="Query">The index of the query's picture.</param>
/// <param name="Supports">The indices of the supports' pictures.</param>
internal readonly record struct Episode(byte Label, int Query, int[] Supports);

/// <summary>Draws episodes: a class of the query at random, and other pictures of it as supports.</summary>
internal sealed class Episodes
{
    private readonly int _shotCount;
    private readonly byte[][] _classes;
    private readonly Dictionary<byte, int[]> _members;

    /// <param name="pictures">The pictures.</param>
    /// <param name="shotCount">Supports of an episode.</param>
    /// <param name="leastArea">The pixels that a class has to have in a picture to be drawn there.</param>
    /// <exception cref="InvalidOperationException">No class is in enough pictures.</exception>
    public Episodes(IReadOnlyList<SegmentedPicture> pictures, int shotCount, int leastArea)
    {
        _shotCount = shotCount;
        _members = pictures.SelectMany((picture, index) => picture.Areas.Where(area => area.Value >= leastArea)
                .Select(area => (area.Key, index)))
            .GroupBy(member => member.Key, member => member.index)
            .Where(group => group.Count() > shotCount)
            .ToDictionary(group => group.Key, group => group.ToArray());
        _classes = [.. pictures.Select(picture => picture.Areas
            .Where(area => area.Value >= leastArea && _members.ContainsKey(area.Key)).Select(area => area.Key).Order().ToArray())];
        Queries = [.. Enumerable.Range(0, pictures.Count).Where(index => _classes[index].Length > 0)];
        if (Queries.Count == 0)
        {
            throw new InvalidOperationException($"There is nothing to train on: no class covers {leastArea} pixels or more in "
                + $"{shotCount + 1} or more of the {pictures.Count} pictures.");
        }
    }

    /// <summary>The indices of the pictures that can be queries.</summary>
    public IReadOnlyList<int> Queries { get; }

    /// <summary>The labels of the classes that are drawn.</summary>
    public IReadOnlyList<byte> Classes => [.. _members.Keys.Order()];

    public Episode Draw(int query, ref SampleRandom random)
    {
        var label = _classes[query][random.Next(_classes[query].Length)];
        var members = _members[label];
        var supports = new int[_shotCount];
        for (var i = 0; i < supports.Length; i++)
        {
            do
                supports[i] = members[random.Next(members.Length)];
            while (supports[i] == query || supports.AsSpan(0, i).Contains(supports[i]));
        }
        return new(label, query, supports);
    }
}
