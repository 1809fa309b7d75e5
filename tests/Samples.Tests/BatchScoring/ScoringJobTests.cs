using System.Text.Json;
using BatchScoring;
using BatchScoring.Input;
using BatchScoring.Output;
using BatchScoring.Progress;
using ParquetSharp;

namespace Samples.Tests.BatchScoring;

public sealed class ScoringJobTests : IDisposable
{
    private const int RowsPerPart = 4;
    private static readonly Manifest Job = new(new() { ["model"] = "fake" });
    private readonly TemporaryFolder _folder = new();
    private readonly string[] _paths = [.. Enumerable.Range(0, 10).Select(index => index is 3 or 9 ? $"bad{index}" : $"good{index}")];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Run_WritesEveryRowOnce()
    {
        var meter = Run(new FakeScorer());

        Assert.Equal((10, 2), (meter.Done, meter.Bad));
        Assert.Equal(_paths, ReadPaths());
        Assert.Equal(["part-00000-of-00001-000000.parquet", "part-00000-of-00001-000001.parquet", "part-00000-of-00001-000002.parquet"],
            FileNames("part*"));
    }

    [Fact]
    public void Run_ListsBadRows()
    {
        Run(new FakeScorer());

        var lines = File.ReadAllLines(_folder["_bad-00000-of-00001.jsonl"]).Select(line => JsonDocument.Parse(line).RootElement);
        Assert.Equal([("bad3", "corrupt", "bad3 is bad"), ("bad9", "corrupt", "bad9 is bad")],
            lines.Select(line => (Text(line, "path"), Text(line, "status"), Text(line, "error"))));

        static string? Text(JsonElement line, string name) => line.GetProperty(name).GetString();
    }

    [Fact]
    public void Resume_ScoresOnlyUnfinishedParts()
    {
        Run(new FakeScorer());
        File.Delete(_folder["part-00000-of-00001-000001.parquet"]);
        var scorer = new FakeScorer();

        var meter = Run(scorer, ExistingOutput.Resume);

        Assert.Equal(_paths[4..8], scorer.Scored);
        Assert.Equal(_paths, ReadPaths());
        Assert.Equal((10, 2), (meter.Done, meter.Bad));
    }

    [Fact]
    public void Resume_ReplacesTruncatedPart()
    {
        Run(new FakeScorer());
        using (var part = File.OpenWrite(_folder["part-00000-of-00001-000002.parquet"]))
            part.SetLength(part.Length / 2);
        var scorer = new FakeScorer();

        Run(scorer, ExistingOutput.Resume);

        Assert.Equal(_paths[8..], scorer.Scored);
        Assert.Equal(_paths, ReadPaths());
    }

    [Fact]
    public void Cancellation_KeepsFinishedPartsAndNoOther()
    {
        using var cancellation = new CancellationTokenSource();
        var scorer = new FakeScorer
        {
            BeforeRow = path =>
            {
                if (path == _paths[6])
                    cancellation.Cancel();
            },
        };

        Assert.Throws<OperationCanceledException>(() => Run(scorer, cancellation: cancellation));

        Assert.Equal(["_manifest-00000-of-00001.json", "part-00000-of-00001-000000.parquet"], FileNames("*"));
        Run(new FakeScorer(), ExistingOutput.Resume);
        Assert.Equal(_paths, ReadPaths());
    }

    [Fact]
    public void FailingScorer_LeavesNoHalfPart()
    {
        var scorer = new FakeScorer { BeforeRow = path => Assert.NotEqual(_paths[5], path) };

        Assert.ThrowsAny<Exception>(() => Run(scorer));

        Assert.Equal(["part-00000-of-00001-000000.parquet"], FileNames("*part*"));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public void Shards_TogetherAreTheWhole(int count)
    {
        for (var index = count - 1; index >= 0; index--)
            Run(new FakeScorer(), shard: new(index, count));

        Assert.Equal(_paths, ReadPaths());
    }

    private RateMeter Run(FakeScorer scorer, ExistingOutput existing = ExistingOutput.Refuse, Shard? shard = null,
        CancellationTokenSource? cancellation = null)
    {
        using var output = OutputFolder.Open(_folder.Path, shard ?? Shard.Whole, Job, existing);
        return new ScoringJob(scorer, (shard ?? Shard.Whole).Of(_paths), output, RowsPerPart, new NoProgress())
            .Run(cancellation?.Token ?? CancellationToken.None);
    }

    private string[] FileNames(string pattern) =>
        [.. Directory.GetFiles(_folder.Path, pattern).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    private string[] ReadPaths() => [.. FileNames("part*").SelectMany(name =>
    {
        using var reader = new ParquetFileReader(_folder[name]);
        using var group = reader.RowGroup(0);
        using var column = group.Column(0).LogicalReader<string>();
        return column.ReadAll((int)group.MetaData.NumRows);
    })];
}
