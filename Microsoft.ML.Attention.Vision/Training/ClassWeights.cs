namespace Microsoft.ML.Attention.Vision;

/// <summary>How much the pictures of each class count in the loss. The weights are scaled so that the mean picture counts 1.</summary>
public sealed class ClassWeights
{
    private readonly IReadOnlyDictionary<string, float>? _byClass;

    private ClassWeights(IReadOnlyDictionary<string, float>? byClass) => _byClass = byClass;

    /// <summary>Every class counts the same in all, however many pictures it has.</summary>
    public static ClassWeights Balanced { get; } = new(null);

    /// <summary>Weights by name.</summary>
    /// <param name="weights">Positive weights by the names of the classes; 1 for a class that is not named.</param>
    /// <exception cref="ArgumentException">A weight is not positive.</exception>
    public static ClassWeights Of(IReadOnlyDictionary<string, float> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        foreach (var (name, weight) in weights)
        {
            if (!(weight > 0 && float.IsFinite(weight)))
                throw new ArgumentException($"The weight of class '{name}' is {weight}; it must be positive.", nameof(weights));
        }
        return new(weights.ToDictionary());
    }

    /// <summary>The weight of each class.</summary>
    /// <param name="labels">The classes.</param>
    /// <param name="counts">The number of training pictures of each class.</param>
    /// <exception cref="ArgumentException">There is a weight for a class that does not exist.</exception>
    internal float[] Resolve(ClassLabels labels, int[] counts) =>
        Resolve([.. labels.Names().GetValues().ToArray().Select(name => name.ToString())], counts);

    internal float[] Resolve(string[] classes, int[] counts)
    {
        if (_byClass?.Keys.FirstOrDefault(name => !classes.Contains(name)) is { } unknown)
            throw new ArgumentException($"There is a weight for class '{unknown}', but the classes are {string.Join(", ", classes)}.");
        var weights = counts.Select((count, i) => _byClass is null ? 1.0 / Math.Max(count, 1)
            : _byClass.GetValueOrDefault(classes.ElementAtOrDefault(i) ?? "", 1)).ToArray();
        var mean = weights.Zip(counts, (weight, count) => weight * count).Sum() / counts.Sum();
        return Array.ConvertAll(weights, weight => (float)(weight / mean));
    }

    /// <inheritdoc/>
    public override string ToString() => _byClass is null ? nameof(Balanced)
        : string.Join(", ", _byClass.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key} {pair.Value:R}"));
}
