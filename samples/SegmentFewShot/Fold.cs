namespace SegmentFewShot;

/// <summary>Which classes are trained and which are new in the test.</summary>
/// <param name="Number">From 0.</param>
internal sealed record Fold(int Number)
{
    /// <summary>The number of folds: each of the ten classes is new in one of them.</summary>
    public const int Count = 5;

    /// <summary>The classes of Fashion-MNIST in its order.</summary>
    public static readonly IReadOnlyList<string> Classes =
        ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

    /// <summary>The two classes, as indices, that no training scene shows.</summary>
    public IReadOnlyList<int> Test => [Number, Number + Count];

    /// <summary>The other eight.</summary>
    public IReadOnlyList<int> Training => [.. Enumerable.Range(0, Classes.Count).Except(Test)];
}
