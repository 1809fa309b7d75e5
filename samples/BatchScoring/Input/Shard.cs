using System.Globalization;

namespace BatchScoring.Input;

/// <summary>One of <paramref name="Count"/> contiguous, nearly equal pieces of the input list.</summary>
/// <param name="Index">Which piece, from 0.</param>
/// <param name="Count">How many pieces there are.</param>
internal readonly record struct Shard(int Index, int Count)
{
    public static readonly Shard Whole = new(0, 1);

    /// <summary>Reads "i/n", or "auto" for what Slurm (array jobs) or Kubernetes (indexed jobs) put into the environment.</summary>
    /// <param name="text">The value of --shard, if given.</param>
    /// <param name="count">The value of --shard-count, if given: Kubernetes tells a pod its index alone.</param>
    /// <param name="environment">Looks up an environment variable.</param>
    public static Shard Parse(string? text, int? count, Func<string, string?> environment)
    {
        if (text is null && count is null)
            return Whole;
        if (text is null or "auto")
            return FromScheduler(count, environment);
        if (count is not null)
            throw Wrong($"--shard {text} gives the count already; leave --shard-count out.");
        return text.Split('/') is [var index, var total] && TryNumber(index, out var i) && TryNumber(total, out var n)
            ? Checked(i, n, $"--shard {text}")
            : throw Wrong($"--shard '{text}' is neither i/n (as 0/8, i from 0) nor auto.");
    }

    public ArraySegment<string> Of(string[] paths)
    {
        var start = (int)((long)paths.Length * Index / Count);
        var end = (int)((long)paths.Length * (Index + 1) / Count);
        return new(paths, start, end - start);
    }

    public override string ToString() => $"{Index}/{Count}";

    private static Shard FromScheduler(int? count, Func<string, string?> environment)
    {
        if (TryNumber(environment("SLURM_ARRAY_TASK_ID"), out var task))
        {
            if (!TryNumber(environment("SLURM_ARRAY_TASK_COUNT"), out var tasks))
                throw Wrong("SLURM_ARRAY_TASK_ID is set but SLURM_ARRAY_TASK_COUNT is not; give --shard i/n.");
            var first = TryNumber(environment("SLURM_ARRAY_TASK_MIN"), out var least) ? least : 0;
            if (count is not null && count != tasks)
                throw Wrong($"--shard-count {count} contradicts SLURM_ARRAY_TASK_COUNT={tasks}.");
            return Checked(task - first, tasks, $"SLURM_ARRAY_TASK_ID={task} of an array that starts at {first} and has {tasks} tasks");
        }
        if (TryNumber(environment("JOB_COMPLETION_INDEX"), out var index))
        {
            return Checked(index, count ?? throw Wrong("JOB_COMPLETION_INDEX does not say how many shards there are; add --shard-count n."),
                $"JOB_COMPLETION_INDEX={index} with --shard-count {count}");
        }
        throw Wrong("Neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set; give --shard i/n.");
    }

    private static Shard Checked(int index, int count, string source) =>
        index >= 0 && index < count ? new(index, count) : throw Wrong($"{source}: the index must lie in [0, {count}).");

    private static bool TryNumber(string? text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static JobException Wrong(string message) => new(ExitCode.Usage, message);
}
