using BatchScoring;
using BatchScoring.Input;
using BatchScoring.Output;

namespace Samples.Tests.BatchScoring;

public sealed class OutputFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void UsedFolder_IsRefused()
    {
        Open();

        Assert.Contains("--resume", Refusal(() => Open()));
    }

    [Fact]
    public void ForeignFile_IsRefusedAndKept()
    {
        Open();
        File.WriteAllText(_folder["notes.txt"], "mine");

        foreach (var existing in Enum.GetValues<ExistingOutput>())
            Refusal(() => Open(existing: existing));
        Assert.Contains("'notes.txt'", Refusal(() => Open(existing: ExistingOutput.Resume)));
        Assert.Equal("mine", File.ReadAllText(_folder["notes.txt"]));
    }

    [Fact]
    public void ChangedJob_IsRefusedWithTheDifference()
    {
        Open(model: "old");

        var message = Refusal(() => Open(model: "new", existing: ExistingOutput.Resume));

        Assert.Contains("model was old and is new", message);
    }

    [Fact]
    public void ShardOfAnotherJob_IsRefused()
    {
        Open(shard: new(0, 2), model: "old");

        Assert.Contains("model was old and is new", Refusal(() => Open(shard: new(1, 2), model: "new")));
    }

    [Fact]
    public void ShardsOfOneJob_ShareTheFolder()
    {
        Open(shard: new(0, 2));
        Open(shard: new(1, 2));

        Assert.Equal(2, Directory.GetFiles(_folder.Path, "_manifest*").Length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void OtherShardCount_IsRefused(bool resume)
    {
        Open(shard: new(0, 2));

        Assert.Contains("another number of shards", Refusal(() => Open(shard: new(0, 3),
            existing: resume ? ExistingOutput.Resume : ExistingOutput.Refuse)));
    }

    [Fact]
    public void Overwrite_RemovesOwnFilesAndLeavesOtherShards()
    {
        Open(shard: new(0, 2));
        Open(shard: new(1, 2));
        File.WriteAllText(_folder["part-00000-of-00002-000007.parquet"], "old");
        File.WriteAllText(_folder["part-00001-of-00002-000000.parquet"], "other shard");

        Open(shard: new(0, 2), model: "new", existing: ExistingOutput.Overwrite);

        Assert.False(File.Exists(_folder["part-00000-of-00002-000007.parquet"]));
        Assert.Equal("other shard", File.ReadAllText(_folder["part-00001-of-00002-000000.parquet"]));
    }

    [Fact]
    public void PartsWithoutManifest_AreNotResumed()
    {
        File.WriteAllText(_folder["part-00000-of-00001-000000.parquet"], "of unknown origin");

        Assert.Contains("no manifest", Refusal(() => Open(existing: ExistingOutput.Resume)));
    }

    [Fact]
    public void SecondProcess_IsRefusedWhileTheFirstRuns()
    {
        using var first = OutputFolder.Open(_folder.Path, Shard.Whole, Job("model"), ExistingOutput.Refuse);

        Assert.Contains("Another process", Refusal(() => Open(existing: ExistingOutput.Resume)));
    }

    [Fact]
    public void LeftOverTemporaryFile_IsRemoved()
    {
        Open();
        File.WriteAllText(_folder[".part-00000-of-00001-000000.parquet.tmp"], "half a part");

        Open(existing: ExistingOutput.Resume);

        Assert.False(File.Exists(_folder[".part-00000-of-00001-000000.parquet.tmp"]));
    }

    private void Open(Shard? shard = null, string model = "model", ExistingOutput existing = ExistingOutput.Refuse) =>
        OutputFolder.Open(_folder.Path, shard ?? Shard.Whole, Job(model), existing).Dispose();

    private static Manifest Job(string model) => new(new() { ["model"] = model });

    private static string Refusal(Action open)
    {
        var error = Assert.Throws<JobException>(open);
        Assert.Equal(ExitCode.OutputProblem, error.ExitCode);
        return error.Message;
    }
}
