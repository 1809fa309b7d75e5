using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision.Plots;
using Microsoft.ML.Data;

namespace ClinicalTimeSeries;

/// <summary>Shows what a model looks at: a table of key indicators, a heat map of a stay, and a check that it is true.</summary>
internal static class Explanations
{
    private const int RemovedVariables = 3;

    /// <summary>Explains a model on stays that it did not learn from.</summary>
    /// <returns>The check.</returns>
    public static OcclusionCheck Show(
        MLContext context, TemporalAttentionTransformer model, IReadOnlyList<Stay> stays, string outputFolder, Action<string> say)
    {
        var data = context.Data.LoadFromEnumerable(stays);
        using var explanation = model.Explain();
        var indicators = explanation.KeyIndicators(data);
        File.WriteAllLines(Path.Combine(outputFolder, "key-indicators.csv"), indicators
            .Select(i => string.Create(CultureInfo.InvariantCulture, $"{i.Variable},{i.Importance:0.####},{i.Contribution:0.####}"))
            .Prepend("variable,importance,contribution"));
        say("key indicators (mean magnitude of what each adds to the log-odds): " + string.Join(", ", indicators.Take(8)
            .Select(i => string.Create(CultureInfo.InvariantCulture, $"{i.Variable} {i.Importance:0.00}"))));

        var scores = model.Transform(data).GetColumn<float>("Probability").ToArray();
        var highest = Array.IndexOf(scores, scores.Max());
        var contributions = explanation.Transform(data).GetColumn<float[]>("Contributions").ElementAt(highest);
        var names = model.Variables.Select(variable => variable.Name).ToArray();
        var rows = names.Select((name, variable) => (Name: name, Values: (IReadOnlyList<float>)
                [.. contributions.Where((_, i) => i % names.Length == variable)]))
            .OrderByDescending(row => Math.Abs(row.Values.Sum())).Take(15).ToArray();
        var picture = Path.Combine(outputFolder, "contributions.png");
        HeatMap.Save(
            string.Create(CultureInfo.InvariantCulture, $"Log-odds added in a stay with risk {scores[highest]:0%}"), rows, "four hours each", picture);
        say($"what raised the highest risk among the {stays.Count} stays: {picture}");

        var check = OcclusionCheck.Run(model, explanation, data, RemovedVariables);
        say(string.Create(CultureInfo.InvariantCulture, $"without the {RemovedVariables} variables that raise it most the log-odds fall by "
            + $"{check.FallWithoutTop:0.00}, without {RemovedVariables} at random by {check.FallWithoutRandom:0.00}"));
        return check;
    }
}
