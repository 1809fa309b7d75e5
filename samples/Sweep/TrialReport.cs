using System.Globalization;
using Spectre.Console;

namespace Sweep;

/// <summary>Trials for people to read, and as a file.</summary>
internal static class TrialReport
{
    private static readonly string[] Columns =
    [
        "candidate", "architecture", "epochs", "accuracy", "standard_error", "learning_rate", "weight_decay", "label_smoothing", "erasing",
        "batch", "seconds",
    ];

    /// <summary>A trial as one line.</summary>
    public static string Line(Trial trial) => string.Create(
        CultureInfo.InvariantCulture,
        $"candidate {trial.Candidate.Number} ({trial.Candidate.Architecture}), {trial.Epochs} epochs: {Outcome(trial)}, "
        + $"{trial.Elapsed.TotalSeconds:F0} s");

    /// <summary>Prints a table.</summary>
    public static void Show(IReadOnlyList<Trial> trials, IAnsiConsole console)
    {
        var table = new Table().SimpleBorder().AddColumns([.. Columns.Select(column => column.Replace('_', ' '))]);
        foreach (var trial in trials)
            table.AddRow(Cells(trial));
        console.Write(table);
    }

    /// <summary>Writes a table of comma-separated values with a header, a trial a line.</summary>
    public static void Save(IReadOnlyList<Trial> trials, string path) =>
        File.WriteAllLines(path, trials.Select(Cells).Prepend(Columns).Select(cells => string.Join(',', cells)));

    private static string Outcome(Trial trial) => trial.Failure is { } failure ? $"failed: {failure}"
        : string.Create(CultureInfo.InvariantCulture, $"{trial.Mean:0.0%} +- {trial.Error:0.0%} right");

    private static string[] Cells(Trial trial) =>
    [
        Text(trial.Candidate.Number), trial.Candidate.Architecture, Text(trial.Epochs), Text(trial.Mean, "F4"), Text(trial.Error, "F4"),
        Text(trial.Candidate.LearningRate, "G3"), Text(trial.Candidate.WeightDecay, "G3"), Text(trial.Candidate.LabelSmoothing, "F3"),
        Text(trial.Candidate.Erasing, "F2"), Text(trial.Candidate.BatchSize), Text(trial.Elapsed.TotalSeconds, "F1"),
    ];

    private static string Text(IFormattable value, string? format = null) => value.ToString(format, CultureInfo.InvariantCulture);
}
