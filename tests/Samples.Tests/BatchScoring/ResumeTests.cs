using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Samples.Tests.BatchScoring;

public sealed partial class ResumeTests(SavedPipeline pipeline) : IClassFixture<SavedPipeline>, IDisposable
{
    private const int SIGINT = 2;
    private readonly TemporaryFolder _folder = new();

    private string[] Arguments => [pipeline.ZipFile, _folder["pictures"], _folder["scores"], "--resume", "--rows-per-part", "100"];

    public void Dispose() => _folder.Dispose();

    /// <summary>Kills the process at random moments, while it starts, scores or writes, and lets the last one end.</summary>
    [Fact]
    public void Kills_LoseAndDoubleNoRow()
    {
        var paths = ColourPictures.Write(_folder["pictures"], 12_000);
        File.WriteAllText(paths[777], "not a picture");
        var random = new Random(20261124);
        var kills = 0;
        for (var start = 0; start < 12; start++)
        {
            using var process = BatchScoringProcess.Start(Arguments);
            if (start % 3 == 0)
                Thread.Sleep(random.Next(600));
            else
                WaitForPartsBeyond(Parts().Length, process);
            Thread.Sleep(random.Next(100));
            if (process.HasExited)
                break;
            process.Kill();
            process.WaitForExit();
            kills++;
        }
        Assert.True(kills >= 4, $"Only {kills} kills: the job is too short to test anything.");

        var final = BatchScoringProcess.Run(Arguments);

        Assert.True(final.ExitCode == 0, final.Error);
        var rows = ScoredRow.ReadAll(_folder["scores"]);
        Assert.Equal(paths, rows.Select(row => row.Path));
        Assert.Equal([777], Enumerable.Range(0, rows.Length).Where(row => rows[row].Status != "ok"));
        Assert.All(Enumerable.Range(0, rows.Length).Where(row => row != 777),
            row => Assert.Equal(ColourPictures.NameOf(row), rows[row].PredictedLabel));
        Assert.Empty(Directory.GetFiles(_folder["scores"], "*.tmp"));
        Assert.Single(File.ReadAllLines(_folder["scores/_bad-00000-of-00001.jsonl"]));
    }

    [Fact]
    public void CtrlC_Gives130AndSaysHowToGoOn()
    {
        ColourPictures.Write(_folder["pictures"], 12_000);
        using var process = BatchScoringProcess.Start(Arguments);
        WaitForPartsBeyond(0, process);
        Assert.Equal(0, Signal(process.Id, SIGINT));

        var result = BatchScoringProcess.ReadToEnd(process);

        Assert.Equal(130, result.ExitCode);
        Assert.Contains("--resume", result.Error);
        Assert.Empty(Directory.GetFiles(_folder["scores"], "*.tmp"));
    }

    private string[] Parts() => Directory.Exists(_folder["scores"]) ? Directory.GetFiles(_folder["scores"], "part-*") : [];

    private void WaitForPartsBeyond(int count, Process process)
    {
        while (Parts().Length <= count && !process.HasExited)
            Thread.Sleep(5);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
