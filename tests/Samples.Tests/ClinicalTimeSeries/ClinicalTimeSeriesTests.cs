using System.Diagnostics;

namespace Samples.Tests.ClinicalTimeSeries;

public sealed class ClinicalTimeSeriesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void DrawnStaysAreComparedAndExplained()
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "ClinicalTimeSeries"))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in new[] { "--stays", "80", "--folds", "2", "--members", "1", "--epochs", "12", "--output", _folder["out"] })
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var text = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, text + error.Result);
        Assert.Contains("TemporalAttention ahead of FastTree by", text);
        foreach (var file in new[] { "mortality.zip", "key-indicators.csv", "contributions.png" })
            Assert.True(File.Exists(Path.Combine(_folder["out"], file)), file);
    }
}
