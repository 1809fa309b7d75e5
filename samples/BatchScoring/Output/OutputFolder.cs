using System.Text.Json;
using System.Text.RegularExpressions;
using BatchScoring.Input;
using ParquetSharp;

namespace BatchScoring.Output;

/// <summary>How to treat what an output folder holds already.</summary>
internal enum ExistingOutput
{
    Refuse,
    Resume,
    Overwrite,
}

/// <summary>
/// The files of one shard in the folder that all shards share. A file that carries its final name is complete: each is written under
/// another name, flushed to the disk and renamed. Names that begin with . or _ are skipped by Parquet readers.
/// </summary>
internal sealed partial class OutputFolder : IDisposable
{
    private readonly string _folder;
    private readonly Shard _shard;
    private FileStream? _lock;

    private OutputFolder(string folder, Shard shard)
    {
        _folder = folder;
        _shard = shard;
    }

    public string BadRowsFile => Named($"_bad-{ShardName}.jsonl");

    private string ManifestFile => Named($"_manifest-{ShardName}.json");

    private string ShardName => $"{_shard.Index:D5}-of-{_shard.Count:D5}";

    /// <summary>Opens the folder for one run, and refuses what would mix two jobs or lose rows.</summary>
    public static OutputFolder Open(string folder, Shard shard, Manifest manifest, ExistingOutput existing)
    {
        var output = new OutputFolder(folder, shard);
        try
        {
            Guard(folder, () => output.Claim(manifest, existing));
            return output;
        }
        catch
        {
            output.Dispose();
            throw;
        }
    }

    /// <summary>The finished part files, in order.</summary>
    public IEnumerable<string> Parts() =>
        Directory.EnumerateFiles(_folder, $"part-{ShardName}-*.parquet").Order(StringComparer.Ordinal);

    /// <summary>The counts of a part, or null where it is not finished.</summary>
    public PartCounts? FinishedPart(int part, int rows) =>
        File.Exists(PartName(part)) && PartFile.Count(PartName(part)) is { } counts && counts.Rows == rows ? counts : null;

    public void WritePart(int part, PartFile rows) => WriteWhole(PartName(part), rows.Write);

    /// <summary>Lists the bad rows of all finished parts, one JSON object a line.</summary>
    public void WriteBadRows() => WriteWhole(BadRowsFile, file =>
    {
        using var lines = new StreamWriter(file);
        foreach (var part in Parts())
        {
            if (PartFile.Count(part) is { Bad: 0 })
                continue;
            foreach (var row in PartFile.BadRows(part))
                lines.WriteLine(JsonSerializer.Serialize(new { path = row.Path, status = row.Status, error = row.Error }));
        }
    });

    public void Dispose() => _lock?.Dispose();

    private void Claim(Manifest manifest, ExistingOutput existing)
    {
        Directory.CreateDirectory(_folder);
        Lock();
        if (existing == ExistingOutput.Overwrite)
            RemoveFiles(name => OwnFile().IsMatch(name) && !OfOtherShard(name) && name != LockName);
        var intruder = Directory.EnumerateFileSystemEntries(_folder).Select(entry => Path.GetFileName(entry))
            .Where(name => name != LockName && !OfOtherShard(name) && !(existing == ExistingOutput.Resume && OfThisShard(name)))
            .Order(StringComparer.Ordinal).FirstOrDefault();
        if (intruder is not null)
            throw new JobException(ExitCode.OutputProblem, Refusal(intruder, existing));
        RequireSameJob(manifest, existing);
        RemoveFiles(name => OfThisShard(name) && name.EndsWith(".tmp", StringComparison.Ordinal));
        WriteWhole(ManifestFile, file => File.WriteAllBytes(file, manifest.ToBytes()));
    }

    private void RequireSameJob(Manifest manifest, ExistingOutput existing)
    {
        if (existing == ExistingOutput.Overwrite)
            return;
        if (!File.Exists(ManifestFile) && Parts().FirstOrDefault() is { } orphan)
        {
            throw new JobException(ExitCode.OutputProblem,
                $"'{orphan}' has no manifest beside it, so it cannot be resumed; use --overwrite.");
        }
        foreach (var file in Directory.EnumerateFiles(_folder, $"_manifest-*-of-{_shard.Count:D5}.json"))
        {
            var index = int.Parse(OwnFile().Match(Path.GetFileName(file)).Groups["index"].Value);
            manifest.RequireSameAs(Manifest.Load(file), _shard with { Index = index }, _folder);
        }
    }

    private string Refusal(string present, ExistingOutput existing) => (existing, OwnFile().Match(present)) switch
    {
        (_, { Success: false }) => $"Output folder '{_folder}' holds '{present}', which this program did not write; choose another folder.",
        (ExistingOutput.Refuse, var name) when int.Parse(name.Groups["count"].Value) == _shard.Count =>
            $"Output folder '{_folder}' holds '{present}' already; use --resume to go on or --overwrite to begin again.",
        _ => $"Output folder '{_folder}' holds '{present}' of a job with another number of shards; " +
            "use that number, another folder, or --overwrite.",
    };

    private void Lock()
    {
        try
        {
            _lock = new FileStream(
                Named(LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (IOException error)
        {
            throw new JobException(ExitCode.OutputProblem,
                $"Another process writes shard {_shard} of '{_folder}' (its lock '{LockName}' is held): {error.Message}", error);
        }
    }

    // A rename that a power cut undoes has its part scored again, so the folder itself need not be flushed.
    private void WriteWhole(string file, Action<string> write) => Guard(_folder, () =>
    {
        var temporary = Named($".{Path.GetFileName(file)}.tmp");
        try
        {
            write(temporary);
            using (var handle = File.OpenHandle(temporary, FileMode.Open, FileAccess.ReadWrite))
                RandomAccess.FlushToDisk(handle);
            File.Move(temporary, file, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    });

    private void RemoveFiles(Func<string, bool> chosen)
    {
        foreach (var file in Directory.GetFiles(_folder))
        {
            if (chosen(Path.GetFileName(file)))
                File.Delete(file);
        }
    }

    private static void Guard(string folder, Action action)
    {
        try
        {
            action();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or ParquetException)
        {
            throw new JobException(ExitCode.OutputProblem, $"Output folder '{folder}' cannot be written: {error.Message}", error);
        }
    }

    private string LockName => $"_lock-{ShardName}";

    private string PartName(int part) => Named($"part-{ShardName}-{part:D6}.parquet");

    private string Named(string name) => Path.Combine(_folder, name);

    private bool OfThisShard(string name) => OwnFile().IsMatch(name) && name.Contains(ShardName, StringComparison.Ordinal);

    private bool OfOtherShard(string name) =>
        OwnFile().Match(name) is { Success: true } match && !OfThisShard(name) && int.Parse(match.Groups["count"].Value) == _shard.Count;

    [GeneratedRegex(@"^\.?(part|_manifest|_bad|_lock)-(?<index>\d{5,})-of-(?<count>\d{5,})(-\d{6,}\.parquet|\.jsonl?)?(\.tmp)?$")]
    private static partial Regex OwnFile();
}
