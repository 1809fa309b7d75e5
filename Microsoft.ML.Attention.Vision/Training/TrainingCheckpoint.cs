using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.ML.Attention.Onnx.Training;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Where a training is kept, so that it can go on after an interruption as if there had been none. A checkpoint is a folder
/// <c>batch-BATCHES-EPOCHS</c> that gets its name when it is complete; then the one before it is deleted.
/// </summary>
/// <param name="folder">The folder of the checkpoints of one training.</param>
/// <param name="settings">What must be the same in the training that goes on, by name.</param>
internal sealed class TrainingCheckpoint(string folder, IReadOnlyDictionary<string, string> settings)
{
    private const string StateFile = "state.safetensors", ProgressFile = "progress.json", BestFile = "best.onnx";
    private const string Prefix = "batch-";

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private readonly Stopwatch _sinceLast = Stopwatch.StartNew();

    /// <summary>The time since the last checkpoint was written.</summary>
    public TimeSpan Age => _sinceLast.Elapsed;

    /// <summary>The checkpoints in a folder; null where there is no folder.</summary>
    public static TrainingCheckpoint? In(string? folder, Func<IReadOnlyDictionary<string, string>> describe) =>
        folder is null ? null : new(folder, describe());

    /// <summary>The seed of the training in a folder; null where there is none.</summary>
    public static int? FindSeed(string? folder) =>
        Latest(folder) is { } latest ? int.Parse(Read(latest).Settings[nameof(ImageAttentionTrainer.Options.Seed)]) : null;

    /// <summary>Puts a trainer into the state of the last checkpoint.</summary>
    /// <returns>How far it has come; null where there is no checkpoint.</returns>
    /// <exception cref="InvalidOperationException">The checkpoint is of another training; the message lists what differs.</exception>
    public TrainingProgress? Restore(Trainer trainer)
    {
        if (Latest(folder) is not { } latest)
            return null;
        var saved = Read(latest);
        var differences = settings.Keys.Union(saved.Settings.Keys)
            .Select(name => (Name: name, Now: settings.GetValueOrDefault(name), Then: saved.Settings.GetValueOrDefault(name)))
            .Where(setting => setting.Now != setting.Then)
            .Select(setting => $"{setting.Name} is {setting.Now ?? "not set"}, it was {setting.Then ?? "not set"}").ToArray();
        if (differences.Length > 0)
        {
            throw new InvalidOperationException($"The checkpoint '{latest}' is of another training: {string.Join("; ", differences)}. "
                + $"Restore the settings, or choose another {nameof(ImageAttentionTrainer.Options.CheckpointFolder)}.");
        }
        trainer.LoadState(Path.Combine(latest, StateFile));
        if (saved.Progress.Best is { } best)
            saved.Progress.Best = best with { Model = File.ReadAllBytes(Path.Combine(latest, BestFile)) };
        return saved.Progress;
    }

    /// <summary>Writes a checkpoint: it is there as a whole or not at all.</summary>
    public void Write(Trainer trainer, TrainingProgress progress)
    {
        _sinceLast.Restart();
        var target = Path.Combine(folder, $"{Prefix}{trainer.BatchCount:D9}-{progress.Epochs.Count:D6}");
        if (Directory.Exists(target))
            return;
        var older = Checkpoints(folder);
        var unfinished = Path.Combine(folder, "unfinished");
        if (Directory.Exists(unfinished))
            Directory.Delete(unfinished, recursive: true);
        Directory.CreateDirectory(unfinished);
        trainer.SaveState(Path.Combine(unfinished, StateFile));
        if (progress.Best is { } best)
            File.WriteAllBytes(Path.Combine(unfinished, BestFile), best.Model);
        File.WriteAllBytes(Path.Combine(unfinished, ProgressFile),
            JsonSerializer.SerializeToUtf8Bytes(new Saved(new Dictionary<string, string>(settings), progress), Json));
        Directory.Move(unfinished, target);
        foreach (var old in older)
            Directory.Delete(old, recursive: true);
    }

    private static Saved Read(string checkpoint)
    {
        var path = Path.Combine(checkpoint, ProgressFile);
        try
        {
            return JsonSerializer.Deserialize<Saved>(File.ReadAllBytes(path), Json) ?? throw new JsonException("it is empty");
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            throw new InvalidDataException($"The checkpoint '{checkpoint}' is damaged: {e.Message} Delete it to start anew.", e);
        }
    }

    private static string? Latest(string? folder) => Checkpoints(folder).LastOrDefault();

    private static string[] Checkpoints(string? folder) =>
        Directory.Exists(folder) ? [.. Directory.GetDirectories(folder, Prefix + "*").Order(StringComparer.Ordinal)] : [];

    private sealed record Saved(Dictionary<string, string> Settings, TrainingProgress Progress);
}
