using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention;

/// <summary>The names of a classifier's columns; the defaults are ML.NET's.</summary>
public sealed record ClassifierColumns
{
    /// <summary>The label to learn: a key.</summary>
    public string Label { get; init; } = DefaultColumnNames.Label;

    /// <summary>The scores to add: a vector of one probability a class.</summary>
    public string Score { get; init; } = DefaultColumnNames.Score;

    /// <summary>The predicted label to add: a key with the label's values.</summary>
    public string PredictedLabel { get; init; } = DefaultColumnNames.PredictedLabel;

    internal void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(Label);
        context.SaveNonEmptyString(Score);
        context.SaveNonEmptyString(PredictedLabel);
    }

    internal static ClassifierColumns Load(ModelLoadContext context) => new()
    {
        Label = context.LoadNonEmptyString(),
        Score = context.LoadNonEmptyString(),
        PredictedLabel = context.LoadNonEmptyString(),
    };
}
