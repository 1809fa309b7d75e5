using System.Diagnostics;
using Samples.Tests.BatchScoring;

namespace Samples.Tests.ClinicalTimeSeries;

public sealed class ClinicalTimeSeriesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void DrawnStaysAreComparedAndExplained()
    {
        string[] arguments = ["--stays", "80", "--folds", "2", "--members", "1", "--epochs", "12", "--output", _folder["out"]];
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "ClinicalTimeSeries.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var (exitCode, text, error) = BatchScoringProcess.ReadToEnd(process);
        Assert.True(exitCode == 0, text + error);
        Assert.Contains("TemporalAttention ahead of FastTree by", text);
        foreach (var file in new[] { "mortality.zip", "key-indicators.csv", "contributions.png" })
            Assert.True(File.Exists(Path.Combine(_folder["out"], file)), file);
    }
}
