using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>The names of the columns of a model of time series; the defaults are ML.NET's.</summary>
public sealed record TemporalColumns
{
    /// <summary>The column of series: a vector of float <c>[rows, variables]</c>, NaN where something was not measured.</summary>
    public string Series { get; init; } = "Series";

    /// <summary>
    /// The column of the times of the rows, ascending: a vector of float; null where the rows of a series are at equal distances.
    /// </summary>
    public string? Times { get; init; } = "Times";

    /// <summary>
    /// The label to learn: a bool for two classes, a key for several, a float for regression, a vector of bool or float (0 or 1) for
    /// several labels.
    /// </summary>
    public string Label { get; init; } = DefaultColumnNames.Label;

    /// <summary>The score to add: a logit, the probabilities of the classes or labels, or the predicted amount.</summary>
    public string Score { get; init; } = DefaultColumnNames.Score;

    /// <summary>The probability to add, in binary classification.</summary>
    public string Probability { get; init; } = DefaultColumnNames.Probability;

    /// <summary>The predicted label to add, in classification.</summary>
    public string PredictedLabel { get; init; } = DefaultColumnNames.PredictedLabel;

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Series);
        context.SaveStringOrNull(Times);
        context.SaveNonEmptyString(Label);
        context.SaveNonEmptyString(Score);
        context.SaveNonEmptyString(Probability);
        context.SaveNonEmptyString(PredictedLabel);
    }

    internal static TemporalColumns Load(ModelLoadContext context) => new()
    {
        Series = context.LoadNonEmptyString(),
        Times = context.LoadStringOrNull(),
        Label = context.LoadNonEmptyString(),
        Score = context.LoadNonEmptyString(),
        Probability = context.LoadNonEmptyString(),
        PredictedLabel = context.LoadNonEmptyString(),
    };
}
