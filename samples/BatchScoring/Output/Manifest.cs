using System.Text.Json;
using BatchScoring.Input;

namespace BatchScoring.Output;

/// <summary>What the rows of an output depend on; equal in all shards of a job and in each resumption.</summary>
internal sealed record Manifest(SortedDictionary<string, string> Job)
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static Manifest Load(string file)
    {
        try
        {
            return new(JsonSerializer.Deserialize<SortedDictionary<string, string>>(File.ReadAllBytes(file)) ?? []);
        }
        catch (JsonException error)
        {
            throw new JobException(ExitCode.OutputProblem,
                $"'{file}' is not a manifest of this program; score into another folder.", error);
        }
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(Job, Indented);

    /// <summary>Refuses to go on where <paramref name="recorded"/> belongs to another job.</summary>
    public void RequireSameAs(Manifest recorded, Shard shard, string folder)
    {
        var changed = Job.Keys.Union(recorded.Job.Keys)
            .Where(key => Job.GetValueOrDefault(key) != recorded.Job.GetValueOrDefault(key))
            .Select(key => $"{key} was {recorded.Job.GetValueOrDefault(key) ?? "not set"} and is {Job.GetValueOrDefault(key) ?? "not set"}")
            .ToArray();
        if (changed.Length > 0)
        {
            throw new JobException(ExitCode.OutputProblem,
                $"Output '{folder}' (shard {shard}) was begun for another job: {string.Join("; ", changed)}. " +
                "Use the former input, model and options, another output folder, or --overwrite.");
        }
    }
}
