namespace Samples.Tests.BatchScoring;

public sealed class PipelineScoringTests(SavedPipeline pipeline) : IClassFixture<SavedPipeline>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Pictures => _folder["pictures"];

    private string Scores => _folder["scores"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Folder_IsScoredInOrder()
    {
        var paths = ColourPictures.Write(Pictures, 25);

        var result = Run(Pictures, "--rows-per-part", "10");

        Assert.True(result.ExitCode == 0, result.Error);
        var rows = ScoredRow.ReadAll(Scores);
        Assert.Equal(paths, rows.Select(row => row.Path));
        Assert.All(rows, row => Assert.Equal("ok", row.Status));
        Assert.Equal(Enumerable.Range(0, 25).Select(ColourPictures.NameOf), rows.Select(row => row.PredictedLabel));
        Assert.All(rows, row => Assert.Equal(1, row.Score!.Sum(), 1e-4));
        Assert.Equal(3, Directory.GetFiles(Scores, "*.parquet").Length);
        Assert.Contains("25 rows", result.Output);
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 1)]
    public void BadFiles_AreRowsWithoutScores(bool failOnBad, int exitCode)
    {
        var paths = ColourPictures.Write(Pictures, 12);
        File.WriteAllText(paths[4], "not a picture");
        File.WriteAllBytes(paths[5], []);
        File.WriteAllBytes(paths[7], File.ReadAllBytes(paths[8])[..40]);
        var list = string.Join('\n', paths.Append(_folder["nowhere.png"]));

        string[] options = failOnBad ? ["--fail-on-bad"] : [];
        var result = BatchScoringProcess.Run([pipeline.ZipFile, "-", Scores, .. options], list);

        Assert.True(result.ExitCode == exitCode, result.Error);
        var rows = ScoredRow.ReadAll(Scores);
        Assert.Equal(13, rows.Length);
        Assert.Equal([4, 5, 7, 12], Enumerable.Range(0, 13).Where(row => rows[row].Status != "ok"));
        Assert.Equal(["corrupt", "corrupt", "corrupt", "missing"], rows.Where(row => row.Status != "ok").Select(row => row.Status));
        Assert.All(rows.Where(row => row.Status != "ok"),
            row => Assert.True(row is { Score: null, PredictedLabel: null, Error.Length: > 0 }));
        Assert.Equal("blue", rows[6].PredictedLabel);
        Assert.Equal("red", rows[11].PredictedLabel);
        Assert.Contains("4 of them are bad", result.Output);
        Assert.Equal(4, File.ReadAllLines(Path.Combine(Scores, "_bad-00000-of-00001.jsonl")).Length);
    }

    [Fact]
    public void Shards_FromSchedulers_TogetherAreTheWhole()
    {
        var paths = ColourPictures.Write(Pictures, 11);

        string[] arguments = [pipeline.ZipFile, Pictures, Scores, "--shard", "auto"];
        var slurm = BatchScoringProcess.Run(arguments, "",
            ("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "2"));
        var kubernetes = BatchScoringProcess.Run([.. arguments, "--shard-count", "2"], "", ("JOB_COMPLETION_INDEX", "1"));

        Assert.True(slurm.ExitCode == 0, slurm.Error);
        Assert.True(kubernetes.ExitCode == 0, kubernetes.Error);
        Assert.Equal(paths, ScoredRow.ReadAll(Scores).Select(row => row.Path));
    }

    [Fact]
    public void Columns_AreThoseAskedFor()
    {
        ColourPictures.Write(Pictures, 3);

        var unknown = Run(Pictures, "--columns", "Nothing");
        var chosen = Run(Pictures, "--columns", "PredictedLabel,Features");

        Assert.Equal(2, unknown.ExitCode);
        Assert.Contains("'PredictedLabel'", unknown.Error);
        Assert.True(chosen.ExitCode == 0, chosen.Error);
        using var reader = new ParquetSharp.ParquetFileReader(Directory.GetFiles(Scores, "*.parquet").Single());
        var names = Enumerable.Range(0, reader.FileMetaData.NumColumns)
            .Select(column => reader.FileMetaData.Schema.Column(column).Path.ToDotVector()[0]);
        Assert.Equal(["path", "status", "error", "PredictedLabel", "Features"], names);
    }

    [Fact]
    public void Progress_IsLinesWhereThereIsNoTerminal()
    {
        ColourPictures.Write(Pictures, 3);

        var loud = Run(Pictures);
        var quiet = Run(Pictures, "--quiet", "--overwrite");

        Assert.Contains("3/3 rows, 100.0%", loud.Error);
        Assert.DoesNotContain('\u001b', loud.Error + loud.Output);
        Assert.Equal(("", ""), (quiet.Error, quiet.Output));
    }

    private BatchScoringProcess.Result Run(string input, params string[] options) =>
        BatchScoringProcess.Run([pipeline.ZipFile, input, Scores, .. options]);
}
