namespace SegmentFewShot;

/// <summary>Scenes of one class: supports, whose masks are shown, and queries, in which it is to be found.</summary>
/// <param name="Class">The class as its index.</param>
/// <param name="Supports">The supports.</param>
/// <param name="Queries">The queries.</param>
internal sealed record EpisodeSet(int Class, IReadOnlyList<Scene> Supports, IReadOnlyList<Scene> Queries)
{
    public string Label => Fold.Classes[Class];

    /// <summary>Draws sets of some classes; garments of any class may be beside the one that is asked for.</summary>
    /// <param name="classes">The classes to ask for.</param>
    /// <param name="others">The classes that may be beside.</param>
    /// <param name="garments">The garments.</param>
    /// <param name="size">The scenes' height and width.</param>
    /// <param name="setCount">Sets of each class.</param>
    /// <param name="shotCount">Supports of a set.</param>
    /// <param name="queryCount">Queries of a set.</param>
    /// <param name="seed">Tells the scenes.</param>
    public static IReadOnlyList<EpisodeSet> Draw(
        IReadOnlyList<int> classes, IReadOnlyList<int> others, Garments garments, int size, int setCount, int shotCount, int queryCount, int seed)
    {
        return [.. classes.SelectMany(number => Enumerable.Range(0, setCount).Select(set => (number, set))).AsParallel().AsOrdered()
            .Select(entry => Draw(entry.number, new Random(HashCode(seed, entry.number, entry.set))))];

        EpisodeSet Draw(int number, Random random)
        {
            int[] beside = [.. others.Except([number])];
            return new(number, Scenes(shotCount), Scenes(queryCount));

            Scene[] Scenes(int count) =>
                [.. Enumerable.Range(0, count).Select(_ => Scene.With(number, beside, garments, size, random))];
        }

        static int HashCode(int seed, int number, int set) => (((seed * 31) + number) * 1009) + set;
    }
}
