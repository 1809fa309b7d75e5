using System.Globalization;
using Spectre.Console;

namespace Sweep;

/// <summary>Trials for people to read, and as a file.</summary>
internal static class TrialReport
{
    /// <summary>A trial as one line.</summary>
    public static string Line(Trial trial) => string.Create(
        CultureInfo.InvariantCulture,
        $"candidate {trial.Candidate.Number} ({trial.Candidate.Architecture}), epochs: {trial.Epochs}, accuracy: {Accuracy(trial)}, "
        + $"{trial.Elapsed.TotalSeconds:F0} s{(trial.Failure is { } failure ? $": {failure}" : "")}");

    /// <summary>Prints a table.</summary>
    public static void Show(IReadOnlyList<Trial> trials, IAnsiConsole console)
    {
        var table = new Table().NoBorder();
        foreach (var column in (string[])["#", "architecture", "epochs", "accuracy", "rate", "decay", "smooth", "erase", "batch", "sec."])
            table.AddColumn(column, settings => settings.NoWrap().PadLeft(0).PadRight(1));
        foreach (var trial in trials)
        {
            var candidate = trial.Candidate;
            table.AddRow(
                Text($"{candidate.Number}"), candidate.Architecture, Text($"{trial.Epochs}"), Accuracy(trial),
                Text($"{candidate.LearningRate:0.0e-0}"), Text($"{candidate.WeightDecay:0.000}"), Text($"{candidate.LabelSmoothing:0.00}"),
                Text($"{candidate.Erasing:0.00}"), Text($"{candidate.BatchSize}"), Text($"{trial.Elapsed.TotalSeconds:F0}"));
        }
        console.Write(table);
    }

    /// <summary>Writes a table of comma-separated values with a header, a trial a line; the accuracy of one that failed is NaN.</summary>
    public static void Save(IReadOnlyList<Trial> trials, string path) => File.WriteAllLines(path, trials.Select(Values).Prepend(
        "candidate,architecture,epochs,accuracy,standard_error,learning_rate,weight_decay,label_smoothing,erasing,batch_size,seconds"));

    private static string Values(Trial trial)
    {
        var candidate = trial.Candidate;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{candidate.Number},{candidate.Architecture},{trial.Epochs},{trial.Mean:F4},{trial.Error:F4},"
            + $"{candidate.LearningRate:G3},{candidate.WeightDecay:G3},{candidate.LabelSmoothing:G3},{candidate.Erasing:G3},"
            + $"{candidate.BatchSize},{trial.Elapsed.TotalSeconds:F1}");
    }

    private static string Accuracy(Trial trial) => trial.Failure is null ? Text($"{trial.Mean:0.0%} +- {trial.Error:0.0%}") : "failed";

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
