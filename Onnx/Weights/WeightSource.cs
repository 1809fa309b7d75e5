namespace Microsoft.ML.Attention.Onnx.Weights;

/// <summary>Where the values of a model's parameters come from.</summary>
public abstract class WeightSource
{
    /// <summary>What the source is called in error messages.</summary>
    public abstract string Description { get; }

    /// <summary>The names of the values that the source holds; none if it makes them on demand. A model has to take all of them.</summary>
    public virtual IEnumerable<string> Names => [];

    /// <summary>The values of a parameter.</summary>
    /// <param name="name">The parameter's name in the official checkpoints.</param>
    /// <param name="dims">The sizes that the model expects.</param>
    /// <param name="initialization">How the parameter starts when it is to be trained.</param>
    /// <returns>A float32 tensor, not necessarily of the expected sizes, or null if the source has none of that name.</returns>
    public abstract Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization);

    /// <summary>This source, but parameters whose names match come from another: a new head on a trained backbone.</summary>
    /// <param name="matches">Whether a parameter comes from <paramref name="other"/>.</param>
    /// <param name="other">The other source.</param>
    public WeightSource Replace(Func<string, bool> matches, WeightSource other) => new ReplacedWeights(this, matches, other);

    /// <summary>This source without some of its values, such as copies that no model takes.</summary>
    /// <param name="leftOut">Whether a name is left out.</param>
    public WeightSource Without(Func<string, bool> leftOut) => new RemainingWeights(this, leftOut);

    private sealed class RemainingWeights(WeightSource source, Func<string, bool> leftOut) : WeightSource
    {
        public override string Description => source.Description;

        public override IEnumerable<string> Names => source.Names.Where(name => !leftOut(name));

        public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
            leftOut(name) ? null : source.Find(name, dims, initialization);
    }

    private sealed class ReplacedWeights(WeightSource source, Func<string, bool> matches, WeightSource other) : WeightSource
    {
        public override string Description => source.Description;

        public override IEnumerable<string> Names => source.Names.Where(name => !matches(name)).Concat(other.Names.Where(matches));

        public override Tensor? Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
            (matches(name) ? other : source).Find(name, dims, initialization);
    }
}

/// <summary>Values drawn anew for training; each depends on the seed and the parameter's name only.</summary>
/// <param name="seed">The seed.</param>
public sealed class RandomWeights(int seed) : WeightSource
{
    /// <inheritdoc/>
    public override string Description => $"random weights with seed {seed}";

    /// <inheritdoc/>
    public override Tensor Find(string name, IReadOnlyList<long> dims, Initialization initialization) =>
        initialization.Draw(seed, name, dims);
}
