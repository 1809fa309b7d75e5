using Microsoft.ML.Internal.Utilities;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>A variable of a time series.</summary>
/// <param name="Name">Its name, for tables and plots.</param>
public sealed record SeriesVariable(string Name)
{
    /// <summary>
    /// The value where nothing was measured before; null for the mean of the training measurements. For a variable with
    /// <see cref="Categories"/> null is none of them.
    /// </summary>
    public float? NormalValue { get; init; }

    /// <summary>The values of a categorical variable, which becomes one column each; null for a continuous variable.</summary>
    public IReadOnlyList<float>? Categories { get; init; }

    /// <summary>Whether the values of a continuous variable are scaled to mean 0 and standard deviation 1 of the training data.</summary>
    public bool IsNormalized { get; init; } = true;

    /// <summary>
    /// Whether the logarithm of 1 + the value is seen instead of the value, as is good for amounts that range over orders of magnitude, such
    /// as many laboratory values. Negative values count as 0.
    /// </summary>
    public bool IsLogarithmic { get; init; }

    /// <summary>
    /// Whether the model can be told when the variable was measured; not sensible for what is known once and for all, such as an age.
    /// </summary>
    public bool HasFlag { get; init; } = true;

    internal int ColumnCount => Categories?.Count ?? 1;

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Name);
        context.Writer.Write(NormalValue ?? float.NaN);
        context.Writer.WriteSingleArray(Categories?.ToArray());
        context.Writer.Write(IsNormalized);
        context.Writer.Write(IsLogarithmic);
        context.Writer.Write(HasFlag);
    }

    internal static SeriesVariable Load(ModelLoadContext context)
    {
        var variable = new SeriesVariable(context.LoadNonEmptyString());
        var normal = context.Reader.ReadSingle();
        var categories = context.Reader.ReadSingleArray();
        return variable with
        {
            NormalValue = float.IsNaN(normal) ? null : normal,
            Categories = categories is { Length: > 0 } ? categories : null,
            IsNormalized = context.Reader.ReadBoolean(),
            IsLogarithmic = context.Reader.ReadBoolean(),
            HasFlag = context.Reader.ReadBoolean(),
        };
    }
}
