using System.Diagnostics;
using Samples.Tests.BatchScoring;

namespace Samples.Tests.Sweep;

/// <summary>Runs the program as its users do.</summary>
internal static class SweepProcess
{
    public static BatchScoringProcess.Result Run(params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Sweep.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        return BatchScoringProcess.ReadToEnd(process);
    }
}
