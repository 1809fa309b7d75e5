using Microsoft.ML.Data;

namespace Microsoft.ML.Attention;

/// <summary>A column that a transformer adds: what it is called, what type it has, and how a scored row gives its value.</summary>
/// <param name="name">The column's name.</param>
/// <param name="modelOutputs">The outputs of the model that the value is made of.</param>
internal abstract class OutputColumn(string name, params string[] modelOutputs)
{
    public string Name => name;

    public IReadOnlyList<string> ModelOutputs => modelOutputs;

    /// <summary>The column's type.</summary>
    public abstract DataViewType Type { get; }

    /// <summary>The column with its type and annotations.</summary>
    public DataViewSchema.DetachedColumn Describe()
    {
        var annotations = new DataViewSchema.Annotations.Builder();
        Annotate(annotations);
        return new(name, Type, annotations.ToAnnotations());
    }

    /// <summary>
    /// A <see cref="ValueGetter{TValue}"/> of the raw type of <see cref="Type"/>; it gives missing values where the row failed.
    /// </summary>
    public abstract Delegate CreateGetter(ScoredRow row);

    /// <summary>Adds the column's annotations.</summary>
    protected virtual void Annotate(DataViewSchema.Annotations.Builder annotations)
    {
    }
}
